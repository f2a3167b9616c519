"""Names that PaddleSeg gives to layers and backbones.

A ``ConvBNReLU`` is ``X._conv`` + ``X._batch_norm``; statistics are called ``_mean`` and
``_variance``, and there are no step counters. Its running variance is that of the batch as it is
(torch's: times n / (n - 1)), which matters in training only. Counters in HRNet names start at 1.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.keys import Array, Bias, LayerMapping

STEM_VD = ('conv1_1', 'conv1_2', 'conv1_3')
_STATISTICS = {'._mean': '.running_mean', '._variance': '.running_var'}
# our convolution -> Paddle's; {g[i]} is the i-th number of our name, {n[i]} that plus 1
_HRNET = (
    (r'conv(\d)', 'conv_layer1_{g[0]}'),
    (r'layer1\.(\d)\.conv(\d)', 'la1.bb_layer2_{n[0]}.conv{g[1]}'),
    (r'layer1\.(\d)\.downsample\.0', 'la1.bb_layer2_{n[0]}.conv_down'),
    (r'transition(\d)\.(\d)(?:\.0)+', 'tr{g[0]}.transition_tr{g[0]}_layer_{n[1]}'),
    (
        r'stage(\d)\.(\d)\.branches\.(\d)\.(\d)\.conv(\d)',
        'st{g[0]}.stage_st{g[0]}_{n[1]}.branches_func.'
        'bb_st{g[0]}_{n[1]}_branch_layer_{n[2]}_{n[3]}.conv{g[4]}',
    ),
    (
        r'stage(\d)\.(\d)\.fuse_layers\.(\d)\.(\d)\.0',
        'st{g[0]}.stage_st{g[0]}_{n[1]}.fuse_func.residual_st{g[0]}_{n[1]}_layer_{n[2]}_{n[3]}',
    ),
    (
        r'stage(\d)\.(\d)\.fuse_layers\.(\d)\.(\d)\.(\d)\.0',
        'st{g[0]}.stage_st{g[0]}_{n[1]}.fuse_func.'
        'residual_st{g[0]}_{n[1]}_layer_{n[2]}_{n[3]}_{n[4]}',
    ),
)
# polarized self-attention: ours -> Paddle's
_POLARIZED = {
    'channel_query': 'conv_q_right',
    'channel_value': 'conv_v_right',
    'channel_out': 'conv_up',
    'pixel_query': 'conv_q_left',
    'pixel_value': 'conv_v_left',
}


@dataclass(frozen=True)
class HRNetKind:
    """What distinguishes one HRNet from another.

    Attributes:
        width: channels of the finest branch.
        modules: exchange modules in stage 2, 3, 4.
        blocks: residual blocks per branch.
        layer1: residual blocks in layer1, and their width.
        suffix: what follows the width in its name.
        is_polarized: whether the blocks of stages 2 to 4 have polarized self-attention.
    """

    width: int = networks.USUAL_WIDTH
    modules: tuple[int, ...] = networks.HRNET[0]
    blocks: int = networks.HRNET[1]
    layer1: tuple[int, int] = (networks.HRNET[1], 64)
    suffix: str = ''
    is_polarized: bool = False

    @property
    def name(self) -> str:
        """Such as 'hrnet48', 'hrnet18s'; 'hrnet16s1' is Paddle's HRNet-W18-Small-V1."""
        return f'hrnet{self.width}{self.suffix}{"psa" if self.is_polarized else ""}'

    def options(self) -> dict[str, Any]:
        """What to change in a config of HRNet-W48 whose head reads all branches."""
        root, usual = 'model.backbone', HRNetKind()
        found: dict[str, Any] = {}
        if self.width != usual.width:
            found[f'{root}.width'] = self.width
            found['model.decode_head.in_channels'] = [self.width * 2**i for i in range(4)]
        if self.modules != usual.modules:
            found[f'{root}.num_modules'] = self.modules
        if self.blocks != usual.blocks:
            found[f'{root}.num_blocks'] = self.blocks
        if self.layer1 not in (usual.layer1, (self.blocks, usual.layer1[1])):
            found[f'{root}.layer1'] = self.layer1
        if self.is_polarized:
            found[f'{root}.polarized_attention'] = True
        return found


SMALL: dict[str, Any] = dict(
    modules=networks.HRNET_SMALL[0], blocks=networks.HRNET_SMALL[1], layer1=(2, 64), suffix='s'
)
SMALL_V1: dict[str, Any] = dict(modules=(1, 1, 1), blocks=2, layer1=(1, 32), suffix='s1')


def as_torch_names(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The same with torch's names of the statistics."""
    renamed = {}
    for name, value in weights.items():
        for theirs, ours in _STATISTICS.items():
            if name.endswith(theirs):
                name = name.removesuffix(theirs) + ours
        renamed[name] = value
    return renamed


def has_paddle_names(names: Collection[str]) -> bool:
    """Whether the statistics have Paddle's names."""
    return any(name.endswith('._batch_norm._mean') for name in names)


def conv_bn(source: str, target: str, *, bias: Bias = Bias.NONE) -> LayerMapping:
    """A ``ConvBNReLU`` whose target is an mmcv ``ConvModule``."""
    return _pair(source, f'{target}.conv', f'{target}.bn', bias=bias)


def _pair(source: str, conv: str, norm: str, *, bias: Bias = Bias.NONE) -> LayerMapping:
    return LayerMapping(f'{source}._conv', conv, f'{source}._batch_norm', norm, bias)


def hrnet(source: str, target: str, kind: HRNetKind = HRNetKind()) -> Iterator[LayerMapping]:
    """HRNetV2; ``source`` and ``target`` are prefixes that end with a dot or are empty."""
    for conv, norm in networks.hrnet_names(kind.modules, kind.blocks, kind.layer1[0]):
        theirs = _hrnet_name(conv)
        yield _pair(source + theirs, target + conv, target + norm)
        if kind.is_polarized and '.branches.' in conv and conv.endswith('.conv1'):
            root = source + theirs.removesuffix('conv1'), target + conv.removesuffix('conv1')
            for ours, name in _POLARIZED.items():
                yield LayerMapping(f'{root[0]}deattn.{name}', f'{root[1]}attention.{ours}')


def _hrnet_name(ours: str) -> str:
    """Paddle's name of a convolution."""
    for pattern, theirs in _HRNET:
        found = re.fullmatch(pattern, ours)
        if found:
            numbers = [int(group) for group in found.groups()]
            return theirs.format(g=numbers, n=[number + 1 for number in numbers])
    raise AssertionError(f'{ours} is no convolution of HRNet')


def resnet_vd(source: str, target: str, *, depth: int) -> Iterator[LayerMapping]:
    """ResNet-vd of bottlenecks: stem of three convolutions; shortcuts pool before they convolve."""
    for theirs, (conv, norm) in zip(STEM_VD, networks.STEM):
        yield _pair(source + theirs, target + conv, target + norm)
    for layer, blocks in enumerate(networks.RESNET_BLOCKS[depth]):
        for block in range(blocks):
            theirs, ours = f'{source}bb_{layer}_{block}', f'{target}layer{layer + 1}.{block}'
            for index in range(3):
                yield _pair(f'{theirs}.conv{index}', f'{ours}.conv{index + 1}',
                            f'{ours}.bn{index + 1}')  # fmt: skip
            if block == 0:  # here number 0 is the pool, also where it does nothing
                yield _pair(f'{theirs}.short', f'{ours}.downsample.1', f'{ours}.downsample.2')


def backbone_kind(names: Collection[str], prefix: str) -> str | None:
    """'hrnet' or 'resnet' by the names of the last stage."""
    for kind, stage in (('hrnet', 'st4.'), ('resnet', 'bb_3_0.')):
        if any(name.startswith(prefix + stage) for name in names):
            return kind
    return None


def hrnet_kind(weights: Mapping[str, Array], prefix: str) -> HRNetKind:
    """The kind whose table fits: by layer1, the finest branch's width and what is in its blocks."""
    branch = re.compile(
        re.escape(prefix) + r'st[234]\..*_branch_layer_1_\d+\.conv\d\._conv\.weight'
    )
    width = next((int(value.shape[0]) for name, value in weights.items() if branch.fullmatch(name)),
                 networks.USUAL_WIDTH)  # fmt: skip
    has_block = {
        number: any(name.startswith(f'{prefix}la1.bb_layer2_{number}.') for name in weights)
        for number in (2, 4)
    }
    sizes: dict[str, Any] = {} if has_block[4] else SMALL if has_block[2] else SMALL_V1
    is_polarized = any('.deattn.' in name for name in weights)
    return HRNetKind(width=width, is_polarized=is_polarized, **sizes)


def resnet_depth(names: Collection[str], prefix: str) -> int:
    """50 or 101, by the length of the third stage."""
    return 101 if any(name.startswith(f'{prefix}bb_2_6.') for name in names) else 50
