"""openseg.pytorch: both norm layouts of its published files.

Files of branch ``master`` (PyTorch 0.4) have in-place ABN: norm behind ``X.0`` is ``X.1``, no step
counters, leaky ReLU 0.01 behind the norms of heads. Files of branch ``pytorch-1.7`` have
BatchNorm + ReLU as a pair, so the norm is ``X.1.0``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.conversion import (
    BGR_HRNET,
    BGR_RESNET,
    BGR_RESNET_LIP,
    Conversion,
    Source,
    backbone_options,
    head_options,
)
from openseg_plugin.converters.checkpoints.keys import (
    Array,
    Bias,
    Unit,
    conv_module,
    translate,
    without_prefix,
)

NAME = 'openseg'
LIP_CLASSES = 20
_HEAD = 'decode_head'


def _hrnet_w48(norm: str) -> Iterator[Unit]:
    yield conv_module('cls_head.0', f'{_HEAD}.convs.0', f'cls_head.1{norm}', bias=Bias.KEEP)
    yield Unit('cls_head.3', f'{_HEAD}.conv_seg', bias=Bias.ZERO)


def _ocr(
    norm: str, *, pixels: str, context: str, classifier: str, region: str, region_seg: str
) -> Iterator[Unit]:
    """OCR networks, whose modules only differ in their names."""
    yield conv_module(f'{region}.0', f'{_HEAD}.region_conv', f'{region}.1{norm}', bias=Bias.KEEP)
    yield Unit(f'{region}.{region_seg}', f'{_HEAD}.region_seg', bias=Bias.KEEP)
    yield conv_module(f'{pixels}.0', f'{_HEAD}.bottleneck', f'{pixels}.1{norm}', bias=Bias.KEEP)
    yield from networks.spatial_ocr(
        context, f'{_HEAD}.object_context_block', norm=norm, bias=Bias.KEEP
    )
    yield Unit(classifier, f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _hrnet_w48_ocr(norm: str) -> Iterator[Unit]:
    return _ocr(
        norm,
        pixels='conv3x3',
        context='ocr_distri_head',
        classifier='cls_head',
        region='aux_head',
        region_seg='2',
    )


def _spatial_ocrnet(norm: str) -> Iterator[Unit]:
    return _ocr(
        norm,
        pixels='conv_3x3',
        context='spatial_ocr_head',
        classifier='head',
        region='dsn_head',
        region_seg='3',
    )


@dataclass(frozen=True)
class Network:
    """One registered network.

    Attributes:
        method: folder of the configs.
        trunk: 'hrnet' or 'resnet'.
        heads: its modules with weights apart from the backbone.
        units: table of the heads, given what follows a norm's index ('' or '.0').
        channels: width of the classified features, which tells OCR from OCR-B; None: any.
        usual: sizes in the config (:func:`.conversion.head_options`).
    """

    method: str
    trunk: str
    heads: frozenset[str]
    units: Callable[[str], Iterator[Unit]]
    usual: dict[str, int]
    channels: int | None = None


_OCR_HEADS = frozenset({'conv3x3', 'ocr_distri_head', 'cls_head', 'aux_head'})
NETWORKS: dict[str, Network] = {
    'hrnet_w48': Network(
        'fcn', 'hrnet', frozenset({'cls_head'}), _hrnet_w48, {'channels': 720, 'kernel_size': 3}
    ),
    'hrnet_w48_ocr': Network(
        'ocr',
        'hrnet',
        _OCR_HEADS,
        _hrnet_w48_ocr,
        {'channels': 512, 'key_channels': 256, 'region.channels': 720, 'region.kernel_size': 3},
    ),
    'hrnet_w48_ocr_b': Network(
        'ocr_b',
        'hrnet',
        _OCR_HEADS,
        _hrnet_w48_ocr,
        {'channels': 256, 'key_channels': 128, 'region.channels': 256, 'region.kernel_size': 3},
        channels=256,
    ),
    'spatial_ocrnet': Network(
        'ocr',
        'resnet',
        frozenset({'conv_3x3', 'spatial_ocr_head', 'head', 'dsn_head'}),
        _spatial_ocrnet,
        {'channels': 512, 'key_channels': 256, 'region.channels': 512, 'region.kernel_size': 3},
    ),
}
_CONFIGS = {
    ('fcn', 'hrnet'): 'fcn/hrnet48_{}_cityscapes_80k.py',
    ('ocr', 'hrnet'): 'ocr/hrnet48_{}_cityscapes_80k.py',
    ('ocr_b', 'hrnet'): 'ocr_b/hrnet48_{}_cityscapes_80k.py',
    ('ocr', 'resnet'): 'ocr/r101_{}_cityscapes_40k.py',
}


def identify(weights: Mapping[str, Array]) -> str | None:
    """The registered name of the network with these entries, or None if it is none of openseg's."""
    weights = without_prefix(weights, 'module.')
    trunk = networks.trunk_kind(weights, 'backbone.')
    heads = {name.split('.', 1)[0] for name in weights} - {'backbone'}
    classifier = weights.get('cls_head.weight')
    width = None if classifier is None else classifier.shape[1]

    def likeness(name: str) -> tuple[float, bool]:
        known = NETWORKS[name].heads
        return len(known & heads) / len(known | heads), NETWORKS[name].channels == width

    candidates = [name for name, network in NETWORKS.items() if network.trunk == trunk]
    best = max(candidates, key=likeness, default=None)
    return best if best and likeness(best)[0] >= 0.5 else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    weights = without_prefix(weights, 'module.')
    network = NETWORKS[name]
    norm = '.0' if _has_nested_norms(weights, network) else ''
    is_inplace_abn = not norm
    trunk, backbone, options = _trunk(weights, network.trunk)
    state = translate(
        weights,
        [*trunk, *network.units(norm)],
        is_inplace_abn=is_inplace_abn,
        what=f'{name} of {NAME}',
    )
    options |= head_options(state, network.usual)
    num_classes = int(state[f'{_HEAD}.conv_seg.weight'].shape[0])
    preprocessing = BGR_HRNET if network.trunk == 'hrnet' else BGR_RESNET
    if network.trunk == 'resnet' and num_classes == LIP_CLASSES:
        preprocessing = BGR_RESNET_LIP
        options['model.data_preprocessor.mean'] = list(preprocessing.mean)
    layout = 'iabn' if is_inplace_abn else 'bgr'
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=network.method,
        backbone=backbone,
        num_classes=num_classes,
        norm_layout='inplace_abn' if is_inplace_abn else 'batchnorm',
        config=_CONFIGS[network.method, network.trunk].format(layout),
        cfg_options=options,
        preprocessing=preprocessing,
        align_corners=True,
        has_leaky_head=is_inplace_abn,
    )


def _has_nested_norms(weights: Mapping[str, Array], network: Network) -> bool:
    """Whether any head norm sits inside a norm + activation pair."""
    units = (unit for unit in network.units('.0') if unit.source_norm)
    return any(f'{unit.source_norm}.weight' in weights for unit in units)


def _trunk(weights: Mapping[str, Array], kind: str) -> tuple[Iterator[Unit], str, dict]:
    """Table of the backbone, its name, and the options that name it in a config."""
    prefix = 'backbone.'
    if kind == 'hrnet':
        width = networks.hrnet_width(weights, prefix)
        units = networks.hrnet(prefix, prefix)
        return units, f'hrnet{width}', backbone_options(width=width)
    depth = networks.resnet_depth(weights, prefix)
    units = networks.resnet(prefix, prefix, depth=depth, stem=networks.STEM_RESINIT)
    return units, f'resnet{depth}', {} if depth == 101 else {'model.backbone.depth': depth}
