"""Segmentation networks of pytorch-cv (AceCoooool/pytorch-cv and AceCoooool/segmentation).

FCN, PSPNet, DeepLabv3, DANet, CCNet and OCNet on ResNet-v1s (v1b to v1e are known too), with or
without JPU and auxiliary head, and BiSeNet on ResNet-18. DANet has three outputs in the first
repository, one and an auxiliary head in the second.

A file does not tell whether the backbone is dilated. Without JPU it is taken as dilated and with
JPU as not, which is how all published files were trained; ``model.backbone.output_stride`` (8 or
32) decides otherwise.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.conversion import RGB, Conversion, Source
from openseg_plugin.converters.checkpoints.keys import (
    Array,
    Bias,
    Entry,
    LayerMapping,
    conv_module,
    translate,
    without_prefix,
)
from openseg_plugin.errors import CheckpointError

_HEAD, _AUXILIARY = 'decode_head', 'auxiliary_head'
SMALL = 18  # the depth of BiSeNet's backbone, whose blocks have two convolutions
# depth -> (blocks per stage, convolutions per block)
BACKBONES = {
    SMALL: ((2, 2, 2, 2), 2),
    **{depth: (blocks, 3) for depth, blocks in networks.RESNET_BLOCKS.items()},
}
# theirs -> ours
GAMMAS = {
    'head.sa.gamma': f'{_HEAD}.pam.gamma.scale',
    'head.sc.gamma': f'{_HEAD}.cam.gamma.scale',
    'head.cca.gamma': f'{_HEAD}.cca.gamma.scale',
}


@dataclass(frozen=True)
class Backbone:
    """One of GluonCV's ResNets.

    Attributes:
        depth: 18, 50, 101 or 152.
        stem_channels: 128 for v1s and v1e, 64 for the others.
        is_deep: whether its stem is three convolutions; not in v1b.
        pools_first: whether its shortcuts pool before they convolve, as in v1d and v1e.
    """

    depth: int
    stem_channels: int = 128
    is_deep: bool = True
    pools_first: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What to change in a config of ResNet-101-v1s."""
        usual = Backbone(101)
        numbers = {
            'depth': (self.depth, usual.depth),
            'deep_stem': (self.is_deep, usual.is_deep),
            'stem_channels': (self.stem_channels, usual.stem_channels),
            'avg_down': (self.pools_first, usual.pools_first),
        }
        found = {option: pair[0] for option, pair in numbers.items() if pair[0] != pair[1]}
        return {f'model.backbone.{option}': value for option, value in found.items()}


def backbone_of(weights: Mapping[str, Array]) -> Backbone:
    """By the stem, the convolutions of a block, and the length of the third stage."""
    depth = SMALL if 'base3.0.conv3.weight' not in weights else 50
    for deeper, block in ((101, 6), (152, 23)):
        if depth != SMALL and any(name.startswith(f'base2.{block}.') for name in weights):
            depth = deeper
    is_deep = 'base1.3.weight' in weights
    last = weights.get('base1.6.weight')
    is_wide = last is not None and last.shape[0] == 128
    pools_first = 'base3.0.downsample.2.weight' in weights
    return Backbone(depth, 128 if is_deep and is_wide else 64, is_deep, pools_first)


def backbone(kind: Backbone, *, is_part: bool) -> Iterator[LayerMapping]:
    """Table of a ResNet; ``is_part``: it is the context path of BiSeNet."""
    target = 'backbone.context.' if is_part else 'backbone.'
    blocks, convs = BACKBONES[kind.depth]
    stem = networks.STEM if kind.is_deep else networks.STEM_PLAIN
    for index, (conv, norm) in zip((0, 3, 6), stem):
        yield LayerMapping(f'base1.{index}', target + conv, f'base1.{index + 1}', target + norm)
    # of base1: stem, pool, then stage 1 as one entry and stage 2 as one entry per block
    first = 10 if kind.is_deep else 4
    roots = [
        [f'base1.{first}.{i}' for i in range(blocks[0])],
        [f'base1.{first + 1 + i}' for i in range(blocks[1])],
        [f'base2.{i}' for i in range(blocks[2])],
        [f'base3.{i}' for i in range(blocks[3])],
    ]
    for stage, names in enumerate(roots, start=1):
        for index, theirs in enumerate(names):
            has_shortcut = index == 0 and (stage > 1 or convs == 3)
            ours = f'{target}layer{stage}.{index}'
            for conv, norm in networks.block_names('', convs, has_shortcut=has_shortcut):
                if kind.pools_first and 'downsample' in conv:  # number 0 is the pool
                    conv, norm = '.downsample.1', '.downsample.2'
                yield LayerMapping(theirs + conv, ours + conv, theirs + norm, ours + norm)


def jpu() -> Iterator[LayerMapping]:
    """Joint pyramid upsampling."""
    ours = 'neck.joint'
    for index, name in enumerate(('conv3', 'conv4', 'conv5')):
        yield _module(f'JPU.{name}', f'{ours}.conv_layers.{index}.0')
    for index in range(4):
        theirs, branch = f'JPU.dilation{index + 1}', f'{ours}.dilation_layers.{index}.0'
        yield conv_module(f'{theirs}.0.conv1', f'{branch}.depthwise_conv', f'{theirs}.0.bn')
        yield conv_module(f'{theirs}.0.pointwise', f'{branch}.pointwise_conv', f'{theirs}.1')


def auxiliary_head() -> Iterator[LayerMapping]:
    """Head of stage 3."""
    yield _module('auxlayer.block', f'{_AUXILIARY}.convs.0')
    yield _classifier('auxlayer.block.4', _AUXILIARY)


def fcn_head() -> Iterator[LayerMapping]:
    """FCN."""
    yield _module('head.block', f'{_HEAD}.convs.0')
    yield _classifier('head.block.4')


def psp_head() -> Iterator[LayerMapping]:
    """PSPNet."""
    for index in range(4):
        yield _module(f'head.psp.conv{index + 1}', f'{_HEAD}.psp_modules.{index}.1')
    yield _module('head.block', f'{_HEAD}.bottleneck')
    yield _classifier('head.block.4')


def deeplab_head() -> Iterator[LayerMapping]:
    """DeepLabv3."""
    for index in range(4):
        yield _module(f'head.aspp.b{index}', f'{_HEAD}.aspp_modules.{index}')
    pool = 'head.aspp.b4.gap'
    yield conv_module(f'{pool}.1', f'{_HEAD}.image_pool.1', f'{pool}.2')
    yield _module('head.aspp.project', f'{_HEAD}.projection.0')
    yield _module('head.block', f'{_HEAD}.bottleneck')
    yield _classifier('head.block.4')


def da_head() -> Iterator[LayerMapping | Entry]:
    """DANet with one output."""
    for gamma in ('head.sa.gamma', 'head.sc.gamma'):
        yield Entry(gamma, GAMMAS[gamma])
    names = {'conv5a': 'pam_in', 'conv51': 'pam_out', 'conv5c': 'cam_in', 'conv52': 'cam_out'}
    for theirs, ours in names.items():
        yield _module(f'head.{theirs}', f'{_HEAD}.{ours}_conv')
    for name in ('query', 'key', 'value'):
        yield LayerMapping(f'head.sa.{name}_conv', f'{_HEAD}.pam.{name}_project', bias=Bias.KEEP)
    yield _classifier('head.conv8.1')


def da_branch_outputs() -> Iterator[LayerMapping]:
    """The two outputs more of DANet's older form."""
    yield LayerMapping('head.conv6.1', f'{_HEAD}.pam_conv_seg', bias=Bias.KEEP)
    yield LayerMapping('head.conv7.1', f'{_HEAD}.cam_conv_seg', bias=Bias.KEEP)


def cc_head() -> Iterator[LayerMapping | Entry]:
    """CCNet."""
    yield Entry('head.cca.gamma', GAMMAS['head.cca.gamma'])
    yield _module('head.conva', f'{_HEAD}.convs.0')
    yield _module('head.convb', f'{_HEAD}.convs.1')
    for name in ('query', 'key', 'value'):
        yield LayerMapping(f'head.cca.{name}_conv', f'{_HEAD}.cca.{name}_conv', bias=Bias.KEEP)
    yield _module('head.bottleneck', f'{_HEAD}.conv_cat')
    yield _classifier('head.bottleneck.4')


def base_oc_head() -> Iterator[LayerMapping]:
    """OCNet with its base context."""
    yield _module('context', f'{_HEAD}.in_conv', bias=Bias.KEEP)
    yield from _pixel_attention('context.3.stages.0', f'{_HEAD}.self_attention')
    yield _module('context.3.conv_bn_dropout', f'{_HEAD}.bottleneck', bias=Bias.KEEP)
    yield _classifier('cls')


def asp_oc_head() -> Iterator[LayerMapping]:
    """OCNet with context beside dilated convolutions."""
    theirs, ours = 'context.0', f'{_HEAD}.asp'
    yield _module(f'{theirs}.context', f'{ours}.context_conv', bias=Bias.KEEP)
    yield from _pixel_attention(f'{theirs}.context.3.stages.0', f'{ours}.self_attention')
    yield _module(f'{theirs}.context.3.conv_bn_dropout', f'{ours}.context_norm', bias=Bias.KEEP)
    for index in range(4):
        yield _module(f'{theirs}.conv{index + 2}', f'{ours}.branches.convs.{index}')
    yield _module(f'{theirs}.conv_bn_dropout', f'{ours}.branches.bottleneck')
    yield _classifier('cls')


def _pixel_attention(theirs: str, ours: str) -> Iterator[LayerMapping]:
    yield _module(f'{theirs}.f_query', f'{ours}.key_project.0', bias=Bias.KEEP)
    yield LayerMapping(f'{theirs}.f_value', f'{ours}.value_project', bias=Bias.KEEP)
    yield LayerMapping(f'{theirs}.W', f'{ours}.output_project', bias=Bias.KEEP)


def bisenet() -> Iterator[LayerMapping]:
    """BiSeNet without its backbone."""
    backbone, names = 'backbone', ('conv_7x7', 'conv_3x3_1', 'conv_3x3_2', 'conv_1x1')
    for index, name in enumerate(names):
        yield _module(f'spatial_path.{name}', f'{backbone}.spatial.{index}')
    yield _module('global_context.1', f'{backbone}.pooled.1')
    for index, level in enumerate((16, 8)):
        theirs, ours = f'arms.{index}', f'{backbone}.refine{level}'
        yield _module(f'{theirs}.conv_3x3', f'{ours}.conv')
        yield _module(f'{theirs}.channel_attention.1', f'{ours}.attention.1')
        yield _module(f'refines.{index}', f'{backbone}.smooth{level}')
    yield _module('ffm.conv_1x1', f'{backbone}.fusion.conv')
    for index in (1, 3):
        name = f'channel_attention.{index}'
        yield LayerMapping(f'ffm.{name}', f'{backbone}.fusion.attention.{index}', bias=Bias.KEEP)
    # the auxiliary heads of the config: x8, then x16
    heads = {0: f'{_AUXILIARY}.1', 1: f'{_AUXILIARY}.0', 2: _HEAD}
    for index, ours in heads.items():
        yield _module(f'heads.{index}.conv_3x3', f'{ours}.convs.0')
        yield _classifier(f'heads.{index}.conv_1x1', ours)


def _module(source: str, target: str, *, bias: Bias = Bias.NONE) -> LayerMapping:
    return conv_module(f'{source}.0', target, f'{source}.1', bias=bias)


def _classifier(source: str, head: str = _HEAD) -> LayerMapping:
    return LayerMapping(source, f'{head}.conv_seg', bias=Bias.KEEP)


NAME = 'pytorchcv'
VOC_CLASSES, CITYSCAPES_CLASSES = 21, 19
_HEAD_KEY, _AUXILIARY_KEY = 'model.decode_head', 'model.auxiliary_head'
Table = Callable[[], Iterator[LayerMapping | Entry]]
# network -> (folder of its configs, an entry that only it has, table of the head)
NETWORKS: dict[str, tuple[str, str, Table]] = {
    'bisenet': ('bisenet', 'spatial_path.conv_7x7.0.weight', bisenet),
    'psp': ('pspnet', 'head.psp.conv1.0.weight', psp_head),
    'deeplab': ('deeplabv3', 'head.aspp.b0.0.weight', deeplab_head),
    'danet': ('danet', 'head.conv5a.0.weight', da_head),
    'ccnet': ('ccnet', 'head.conva.0.weight', cc_head),
    'ocnet_asp': ('asp_oc', 'context.0.conv2.0.weight', asp_oc_head),
    'ocnet_base': ('base_oc', 'context.3.stages.0.W.weight', base_oc_head),
    'fcn': ('fcn', 'head.block.0.weight', fcn_head),
}
WITH_CITYSCAPES_LEAF = {'fcn', 'pspnet', 'deeplabv3', 'base_oc'}


def identify(weights: Mapping[str, Array]) -> str | None:
    """Key of ``NETWORKS``, or None if it is none of them."""
    weights = without_prefix(weights, 'module.')
    if not {'base1.0.weight', 'base3.0.conv1.weight'} <= weights.keys():
        return None
    found = (name for name, (_, entry, _) in NETWORKS.items() if entry in weights)
    return next(found, None)


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses, or
            says that pytorch-cv has no such combination.
    """
    weights = without_prefix(weights, 'module.')
    method, _, table = NETWORKS[name]
    kind = backbone_of(weights)
    depth = kind.depth
    if (name == 'bisenet') != (depth == SMALL):
        raise CheckpointError(
            f'this looks like {name} on resnet{depth} of {NAME}, but there only bisenet stands on '
            f'resnet{SMALL}, and on nothing else: nobody published such a network'
        )
    has_jpu = any(key.startswith('JPU.') for key in weights)
    has_auxiliary = any(key.startswith('auxlayer.') for key in weights)
    has_branches = 'head.conv6.1.weight' in weights
    units = [*backbone(kind, is_part=name == 'bisenet'), *table()]
    units += [*jpu()] if has_jpu else []
    units += [*auxiliary_head()] if has_auxiliary else []
    units += [*da_branch_outputs()] if has_branches else []
    weights, dropped = _with_one_key_projection(weights)
    backbone_name = f'resnet{depth}'
    state = _translate(weights, units, f'{name} on {backbone_name} of {NAME}')
    classes = int(state['decode_head.conv_seg.weight'].shape[0])
    config, options = _config(method, classes, has_jpu=has_jpu)
    if name == 'bisenet':
        options |= {f'{_AUXILIARY_KEY}.{i}.num_classes': classes for i in (0, 1)} if options else {}
    else:
        options |= _options(kind, classes, options, has_jpu=has_jpu, has_auxiliary=has_auxiliary)
    if has_branches:
        options[f'{_HEAD_KEY}.with_branch_outputs'] = True
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=method,
        backbone=backbone_name,
        num_classes=classes,
        norm_layout='batchnorm',
        config=config,
        cfg_options=options,
        preprocessing=RGB,
        align_corners=True,
        dropped=dropped,
        assumed='' if name == 'bisenet' else _assumed(has_jpu),
    )


def _assumed(has_jpu: bool) -> str:
    """What no weight of a network tells."""
    stride, why = (32, 'it has JPU') if has_jpu else (8, 'it has no JPU, so it is dilated')
    return f'output stride {stride}, as {why} (model.backbone.output_stride)'


def _config(method: str, classes: int, *, has_jpu: bool) -> tuple[str, dict[str, Any]]:
    """Leaf, and the option for a number of classes that is not the leaf's."""
    kind = {'bisenet': 'r18_pytorchcv'}.get(method, 'r101_pytorchcv_jpu')
    if method == 'pspnet' and not has_jpu and classes != CITYSCAPES_CLASSES:
        kind = 'r101_pytorchcv_dilated'
    if classes == CITYSCAPES_CLASSES and method in WITH_CITYSCAPES_LEAF:
        return f'{method}/{kind}_cityscapes_120e.py', {}
    options = {} if classes == VOC_CLASSES else {f'{_HEAD_KEY}.num_classes': classes}
    return f'{method}/{kind}_voc_50e.py', options


def _options(
    backbone: Backbone, classes: int, other_classes: Mapping, *, has_jpu: bool, has_auxiliary: bool
) -> dict[str, Any]:
    """What to change in a leaf of ResNet-101 with JPU and auxiliary head."""
    options = dict(backbone.options)
    if not has_jpu:
        options |= {'model.neck': None, 'model.backbone.output_stride': 8}
    if not has_auxiliary:
        options[_AUXILIARY_KEY] = None
    elif other_classes:
        options[f'{_AUXILIARY_KEY}.num_classes'] = classes
    return options


def _with_one_key_projection(weights: Mapping[str, Array]) -> tuple[dict, dict[str, str]]:
    """OCNet's queries and keys come from one module with two names; the second one is loaded."""
    dropped = {
        key: 'second name of f_query, which is loaded after it'
        for key in weights
        if '.f_key.' in key and key.replace('.f_key.', '.f_query.') in weights
    }
    return {key: value for key, value in weights.items() if key not in dropped}, dropped


def _translate(
    weights: Mapping[str, Array], units: list[LayerMapping | Entry], what: str
) -> dict[str, Array]:
    """``translate``; gammas become single numbers, ASPP's branches get our order.

    Raises:
        CheckpointError: as ``translate``.
    """
    state = translate(weights, units, is_inplace_abn=False, what=what)
    for gamma in GAMMAS.values():
        if gamma in state:
            state[gamma] = state[gamma].reshape(())
    joined = 'decode_head.projection.0.conv.weight'
    if joined in state:
        state[joined] = _last_branch_first(state[joined])
    return state


def _last_branch_first(weight: Array) -> Array:
    """Input channels (of 5 branches) in our order: the image's mean comes first."""
    width = weight.shape[1] // 5
    order = [*range(4 * width, 5 * width), *range(4 * width)]
    index = torch.tensor(order) if isinstance(weight, torch.Tensor) else order
    return weight[:, index]
