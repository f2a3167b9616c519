"""MMSegmentation's files: OCRNet, FCN on HRNet, ISA, DANet, CCNet, PSPNet, DeepLabV3, BiSeNetV1.

FastFCN is PSPNet or DeepLabV3 behind JPU (its third head, EncNet's, is not built here).

OCRNet is a cascade of two heads, the region branch and the OCR head; below that the names are ours.
The other heads are listed in :mod:`.mmseg_heads`.

What a file does not tell: whether it was trained with aligned corners (crops of 769x769) or not.

MMSegmentation's heads and its BiSeNetV1: which layers they have.

Ours have mmseg's names, but for ISA, which holds one attention per window size.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.conversion import (
    CITYSCAPES_CLASSES,
    RGB,
    Conversion,
    Source,
    backbone_options,
    head_options,
)
from openseg_plugin.converters.checkpoints.keys import (
    Array,
    Bias,
    Entry,
    LayerMapping,
    conv_module,
    translate,
)

HEAD = 'decode_head'
AUXILIARY = 'auxiliary_head'
_ATTENTION = tuple(
    f'{relation}_relation.{part}'
    for relation in ('global', 'local')
    for part in ('key_project.0', 'key_project.1', 'query_project.0', 'query_project.1',
                 'output_project')
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    """Layers of one decode head.

    Attributes:
        method: folder of its configs.
        modules: its convolutions with normalization (mmcv's ``ConvModule``).
        plain: its convolutions with a bias and without normalization, ``conv_seg`` apart.
        entries: what else it has.
        renamed: first part of a name -> ours.
        channels: width of what ``conv_seg`` classifies.
        auxiliary: prefixes of its auxiliary heads.
        other: further options -> (entry below the head, axis, usual size).
    """

    method: str
    modules: tuple[str, ...]
    plain: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    channels: int = 512
    auxiliary: tuple[str, ...] = (AUXILIARY,)
    other: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)

    @property
    def parts(self) -> set[str]:
        """First parts of the names below the head."""
        names = (*self.modules, *self.plain, *self.entries, 'conv_seg')
        return {name.partition('.')[0] for name in names}

    def units(self) -> Iterator[LayerMapping | Entry]:
        """Table of the decode head and of its auxiliary heads."""
        for name in self.modules:
            yield mmcv_module(f'{HEAD}.{name}', f'{HEAD}.{self._ours(name)}')
        for name in (*self.plain, 'conv_seg'):
            yield LayerMapping(f'{HEAD}.{name}', f'{HEAD}.{self._ours(name)}', bias=Bias.KEEP)
        for name in self.entries:
            yield Entry(f'{HEAD}.{name}', f'{HEAD}.{self._ours(name)}')
        for prefix in self.auxiliary:
            yield mmcv_module(f'{prefix}.convs.0', f'{prefix}.convs.0')
            yield LayerMapping(f'{prefix}.conv_seg', f'{prefix}.conv_seg', bias=Bias.KEEP)

    def _ours(self, name: str) -> str:
        first, dot, rest = name.partition('.')
        return f'{self.renamed.get(first, first)}{dot}{rest}'


def mmcv_module(source: str, target: str) -> LayerMapping:
    """A ``ConvModule`` on both sides."""
    return conv_module(f'{source}.conv', target, f'{source}.bn')


HEADS = {
    'isanet': Head(
        'isa',
        ('in_conv', *_ATTENTION, 'out_conv'),
        ('global_relation.value_project', 'local_relation.value_project'),
        renamed={
            'global_relation': 'relations.0.global_relation',
            'local_relation': 'relations.0.local_relation',
        },
        other={'key_channels': ('relations.0.global_relation.key_project.0.conv.weight', 0, 256)},
    ),
    'danet': Head(
        'danet',
        ('pam_in_conv', 'pam_out_conv', 'cam_in_conv', 'cam_out_conv'),
        (
            'pam.query_project',
            'pam.key_project',
            'pam.value_project',
            'pam_conv_seg',
            'cam_conv_seg',
        ),
        ('pam.gamma.scale', 'cam.gamma.scale'),
        other={'key_channels': ('pam.query_project.weight', 0, 64)},
    ),
    'ccnet': Head(
        'ccnet',
        ('convs.0', 'convs.1', 'conv_cat'),
        ('cca.query_conv', 'cca.key_conv', 'cca.value_conv'),
        ('cca.gamma.scale',),
    ),
    'pspnet': Head('pspnet', (*(f'psp_modules.{i}.1' for i in range(4)), 'bottleneck')),
    'deeplabv3': Head(
        'deeplabv3', ('image_pool.1', *(f'aspp_modules.{i}' for i in range(4)), 'bottleneck')
    ),
}
BISENET = Head(
    'bisenet', ('convs.0',), channels=256, auxiliary=(f'{AUXILIARY}.0', f'{AUXILIARY}.1')
)
BISENET_CONTEXT = 'context_path.backbone.'


def jpu() -> Iterator[LayerMapping]:
    """Joint pyramid upsampling of FastFCN."""
    names = [f'conv_layers.{index}.0' for index in range(3)]
    for index in range(4):
        names += [f'dilation_layers.{index}.0.{part}_conv' for part in ('depthwise', 'pointwise')]
    for name in names:
        yield mmcv_module(f'neck.{name}', f'neck.joint.{name}')


def bisenet_backbone(prefix: str, *, depth: int) -> Iterator[LayerMapping]:
    """mmseg's ``BiSeNetV1`` backbone, around a ResNet with one 7x7 convolution as stem."""
    context = prefix + BISENET_CONTEXT
    yield from networks.plain_resnet(context, context, depth=depth)
    names = [f'spatial_path.layer{i}' for i in range(1, 5)]
    for arm in ('arm16', 'arm32'):
        names += [f'context_path.{arm}.conv_layer', f'context_path.{arm}.atten_conv_layer.1']
    names += ['context_path.conv_head16', 'context_path.conv_head32', 'context_path.gap_conv.1']
    names += ['ffm.conv1', 'ffm.conv_atten.0']
    for name in names:
        yield mmcv_module(prefix + name, prefix + name)


NAME = 'mmseg'
OCR = 'ocrnet'
PLAIN = 'fcn'
BISENET_V1 = 'bisenetv1'
_HEAD = HEAD
_REGION = 'decode_head.0'
_FINAL = 'decode_head.1'
_BACKBONE = 'backbone.'
_CONTEXT = _BACKBONE + BISENET_CONTEXT
_STEM = 'backbone.stem.0.weight'
# FastFCN, as changes of a network with a dilated backbone
_JPU_OPTIONS = {
    'model.backbone.strides': (1, 2, 2, 2),
    'model.neck.type': 'openseg_plugin.JPU',
    'model.neck.coarse_first': False,
    'model.neck.align_corners': False,
    'model.neck.norm_cfg.type': 'SyncBN',
}
_ASSUMED = (
    'align_corners=False, right for crops of 512 pixels; of 769: True '
    '(model.decode_head.align_corners, model.auxiliary_head.align_corners)'
)
STEM_CHANNELS = 32  # of mmseg's ResNetV1c; openseg's stem and ours have 64


def _ocr_head() -> Iterator[LayerMapping]:
    yield mmcv_module(f'{_REGION}.convs.0', f'{_HEAD}.region_conv')
    yield LayerMapping(f'{_REGION}.conv_seg', f'{_HEAD}.region_seg', bias=Bias.KEEP)
    yield mmcv_module(f'{_FINAL}.bottleneck', f'{_HEAD}.bottleneck')
    block = 'object_context_block'
    for name in (*networks.OBJECT_CONTEXT, 'bottleneck'):
        yield mmcv_module(f'{_FINAL}.{block}.{name}', f'{_HEAD}.{block}.{name}')
    yield LayerMapping(f'{_FINAL}.conv_seg', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _plain_head() -> Iterator[LayerMapping]:
    yield mmcv_module(f'{_HEAD}.convs.0', f'{_HEAD}.convs.0')
    yield LayerMapping(f'{_HEAD}.conv_seg', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def identify(weights: Mapping[str, Array]) -> str | None:
    """mmseg's name of the method, or None if it is none of those above."""
    if any(name.startswith(_CONTEXT) for name in weights):
        return BISENET_V1
    backbone = networks.backbone_kind(weights, _BACKBONE)
    if backbone is None:
        return None
    if any(name.startswith(f'{_FINAL}.object_context_block.') for name in weights):
        return OCR
    if f'{_HEAD}.convs.0.conv.bias' in weights:  # with a bias it is ours
        return None
    parts = {name.split('.', 2)[1] for name in weights if name.startswith(f'{_HEAD}.')}
    if backbone == 'hrnet':
        return PLAIN if parts == {'convs', 'conv_seg'} else None
    if _STEM not in weights or weights[_STEM].shape[0] != STEM_CHANNELS:
        return None
    best = max(HEADS, key=lambda name: _likeness(HEADS[name].parts, parts))
    return best if _likeness(HEADS[best].parts, parts) > 0.5 else None


def _likeness(known: set[str], found: set[str]) -> float:
    """Fraction of equal names, 'conv_seg' and 'bottleneck' apart, which many heads have."""
    known, found = (parts - {'conv_seg', 'bottleneck'} for parts in (known, found))
    return len(known & found) / len(known | found)


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    if name == BISENET_V1:
        return _convert_bisenet(weights)
    if name in HEADS:
        return _convert_resnet(weights, name)
    backbone_units, backbone, base, options = _backbone(weights)
    head = _ocr_head() if name == OCR else _plain_head()
    state = _translate(weights, [*backbone_units, *head], name, backbone)
    # of the config: the maps of all branches together
    width = re.match(r'hrnet(\d+)', base)
    joined = 0 if width is None else 15 * int(width[1])
    if name == PLAIN:
        usual = {'channels': joined, 'kernel_size': 1}
    elif backbone.startswith('resnet'):
        usual = {'region.channels': 256, 'region.kernel_size': 3}
    else:
        usual = {'region.channels': joined, 'region.kernel_size': 1}
    method = 'ocr' if name == OCR else 'fcn'
    if name == OCR:
        usual |= {'channels': 512, 'key_channels': 256}
    options |= head_options(state, usual)
    config = f'{method}/{base}.py'
    return _conversion(state, name, method, backbone, config, options, align_corners=False)


def _convert_resnet(weights: Mapping[str, Array], name: str) -> Conversion:
    """A method of :mod:`.mmseg_heads` on ResNetV1c at output stride 8."""
    head = HEADS[name]
    depth = networks.resnet_depth(weights, _BACKBONE)
    backbone_units = networks.resnet(_BACKBONE, _BACKBONE, depth=depth, stem=networks.STEM)
    backbone = f'resnet{depth}'
    has_jpu = any(key.startswith('neck.') for key in weights)
    neck = jpu() if has_jpu else ()
    state = _translate(weights, [*backbone_units, *neck, *head.units()], name, backbone)
    options = _class_options(state, head) | _size_options(state, head)
    options |= _JPU_OPTIONS if has_jpu else {}
    if depth not in (50, 101):
        options['model.backbone.depth'] = depth
    config = f'{head.method}/r{depth if depth in (50, 101) else 101}_mmseg_cityscapes_80k.py'
    return _conversion(state, name, head.method, backbone, config, options)


def _convert_bisenet(weights: Mapping[str, Array]) -> Conversion:
    depth = networks.plain_resnet_depth(weights, _CONTEXT)
    backbone_units = bisenet_backbone(_BACKBONE, depth=depth)
    backbone = f'resnet{depth}'
    state = _translate(weights, [*backbone_units, *BISENET.units()], BISENET_V1, backbone)
    options = _class_options(state, BISENET)
    if depth not in (18, 50):
        options['model.backbone.backbone_cfg.depth'] = depth
    config = f'bisenet/r{18 if depth == 18 else 50}_mmseg_cityscapes_160k.py'
    return _conversion(state, BISENET_V1, 'bisenet', backbone, config, options, align_corners=False)


def _conversion(
    state: dict[str, Array],
    name: str,
    method: str,
    backbone: str,
    config: str,
    options: dict,
    *,
    align_corners: bool | None = None,
) -> Conversion:
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=method,
        backbone=backbone,
        num_classes=_classes(state),
        norm_layout='batchnorm',
        config=config,
        cfg_options=options,
        preprocessing=RGB,
        align_corners=align_corners,
        assumed='' if align_corners is not None or 'model.neck.type' in options else _ASSUMED,
    )


def _translate(
    weights: Mapping[str, Array], units: list[LayerMapping | Entry], name: str, backbone: str
) -> dict[str, Array]:
    what = f'{name} on {backbone} of {NAME}'
    return translate(weights, units, is_inplace_abn=False, what=what)


def _classes(state: Mapping[str, Array]) -> int:
    return int(state[f'{_HEAD}.conv_seg.weight'].shape[0])


def _class_options(state: Mapping[str, Array], head: Head) -> dict:
    """Options for another number of classes than the config has."""
    count = _classes(state)
    if count == CITYSCAPES_CLASSES:
        return {}
    return {f'model.{part}.num_classes': count for part in (_HEAD, *head.auxiliary)}


def _size_options(state: Mapping[str, Array], head: Head) -> dict:
    """Options for other widths than the config has."""
    sizes = {'channels': ('conv_seg.weight', 1, head.channels), **head.other}
    found = {
        f'model.{_HEAD}.{option}': (int(state[f'{_HEAD}.{entry}'].shape[axis]), usual)
        for option, (entry, axis, usual) in sizes.items()
    }
    return {option: number for option, (number, usual) in found.items() if number != usual}


def _backbone(weights: Mapping[str, Array]) -> tuple[Iterator[LayerMapping], str, str, dict]:
    """Table of the backbone, its name, the config's name, and what to change in it."""
    if networks.backbone_kind(weights, _BACKBONE) == 'resnet':
        depth = networks.resnet_depth(weights, _BACKBONE)
        options = {} if depth == 101 else {'model.backbone.depth': depth}
        units = networks.resnet(_BACKBONE, _BACKBONE, depth=depth, stem=networks.STEM)
        return units, f'resnet{depth}', 'r101_mmseg_cityscapes_40k', options
    width = networks.hrnet_width(weights, _BACKBONE)
    small = networks.hrnet_is_small(weights, _BACKBONE)
    units = networks.hrnet(_BACKBONE, _BACKBONE, small=small)
    name = f'hrnet{width}{"s" if small else ""}'
    known = {'hrnet18s', 'hrnet18', 'hrnet48'}
    base = f'{name if name in known else "hrnet48"}_mmseg_cityscapes_160k'
    options = {} if name in known else backbone_options(width=width, small=small)
    return units, name, base, options
