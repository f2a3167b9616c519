"""Tables that several sources share: the backbones, and the names of openseg's context module.

The original HRNet and everybody who copied it use the same names as we do, so its table only
differs in the prefix; ResNets differ in the stem.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from openseg_plugin.converters.checkpoints.keys import Array, Bias, LayerMapping, conv_module

# (modules in stage 2, 3, 4), blocks per branch and in layer1
HRNET = ((1, 4, 3), 4)
HRNET_SMALL = ((1, 3, 2), 2)
USUAL_WIDTH = 48  # of a file that lacks all entries that tell
# the same from stage 1 on
HRNET2X = ((1, 1, 4, 3), 4)

Stem = tuple[tuple[str, str], ...]
STEM: Stem = (('stem.0', 'stem.1'), ('stem.3', 'stem.4'), ('stem.6', 'stem.7'))
STEM_FLAT: Stem = (('conv1', 'bn1'), ('conv2', 'bn2'), ('conv3', 'bn3'))
STEM_RESINIT: Stem = tuple((f'resinit.{conv}', f'resinit.{norm}') for conv, norm in STEM_FLAT)
# a single 7x7 convolution, and the options of our ResNet for it
STEM_PLAIN: Stem = STEM_FLAT[:1]
PLAIN_OPTIONS = {'model.backbone.deep_stem': False, 'model.backbone.stem_channels': 64}
RESNET_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

# ours -> openseg's and HRNet-OCR's (convolution, normalization)
OBJECT_CONTEXT = {
    'query_project.0': ('f_pixel.0', 'f_pixel.1'),
    'query_project.1': ('f_pixel.2', 'f_pixel.3'),
    'key_project.0': ('f_object.0', 'f_object.1'),
    'key_project.1': ('f_object.2', 'f_object.3'),
    'value_project': ('f_down.0', 'f_down.1'),
    'out_project': ('f_up.0', 'f_up.1'),
}


def spatial_ocr(source: str, target: str, *, norm: str, bias: Bias) -> Iterator[LayerMapping]:
    """SpatialOCR module: object attention and the 1x1 fusion behind it.

    Args:
        source: its name in the file.
        target: the name of our ``ObjectContextBlock``.
        norm: what follows a norm's index in the file ('' or '.0').
        bias: of all its convolutions.
    """
    yield from object_attention(source, target, norm=norm, bias=bias)
    fusion = f'{source}.conv_bn_dropout'
    yield conv_module(f'{fusion}.0', f'{target}.bottleneck', f'{fusion}.1{norm}', bias=bias)


def object_attention(source: str, target: str, *, norm: str, bias: Bias) -> Iterator[LayerMapping]:
    """The object attention in a module; arguments as :func:`spatial_ocr`."""
    block = f'{source}.object_context_block'
    for ours, (conv, its_norm) in OBJECT_CONTEXT.items():
        yield conv_module(
            f'{block}.{conv}', f'{target}.{ours}', f'{block}.{its_norm}{norm}', bias=bias
        )


def hrnet(source: str, target: str, *, small: bool = False) -> Iterator[LayerMapping]:
    """HRNetV2; ``source`` and ``target`` are prefixes that end with a dot or are empty."""
    for conv, norm in hrnet_names(*(HRNET_SMALL if small else HRNET)):
        yield LayerMapping(source + conv, target + conv, source + norm, target + norm)


def hrnet_names(
    num_modules: tuple[int, ...], num_blocks: int, layer1_blocks: int | None = None
) -> Iterator[tuple[str, str]]:
    """(convolution, normalization) in order, as the original code and we call them."""
    yield from (('conv1', 'bn1'), ('conv2', 'bn2'))
    for block in range(layer1_blocks or num_blocks):
        yield from block_names(f'layer1.{block}', 3, has_shortcut=block == 0)
    for name in ('1.0', '1.1.0', '2.2.0', '3.3.0'):
        yield f'transition{name}.0', f'transition{name}.1'
    for stage, modules in enumerate(num_modules, start=2):
        yield from _stage_names(f'stage{stage}', modules, stage, num_blocks)


def hrnet2x(source: str, target: str) -> Iterator[LayerMapping]:
    """HRNet2x; ``source`` and ``target`` are prefixes that end with a dot or are empty."""
    for conv, norm in _hrnet2x_names(*HRNET2X):
        yield LayerMapping(source + conv, target + conv, source + norm, target + norm)


def _hrnet2x_names(num_modules: tuple[int, ...], num_blocks: int) -> Iterator[tuple[str, str]]:
    yield 'conv1', 'bn1'
    for name in ('0.0', '0.1.0', '1.0', '1.1', '1.2.0', '2.3.0', '3.4.0'):
        yield f'transition{name}.0', f'transition{name}.1'
    for stage, modules in enumerate(num_modules, start=1):
        convs = 3 if stage == 1 else 2
        yield from _stage_names(f'stage{stage}', modules, stage + 1, num_blocks, convs=convs)


def _stage_names(
    stage: str, modules: int, branches: int, num_blocks: int, *, convs: int = 2
) -> Iterator[tuple[str, str]]:
    """Names in one stage; ``convs`` are those of a residual block."""
    for module in range(modules):
        root = f'{stage}.{module}'
        for branch in range(branches):
            for block in range(num_blocks):
                yield from block_names(f'{root}.branches.{branch}.{block}', convs)
        yield from _exchange_names(f'{root}.fuse_layers', branches)


def _exchange_names(root: str, branches: int) -> Iterator[tuple[str, str]]:
    for target in range(branches):
        for source in range(branches):
            name = f'{root}.{target}.{source}'
            if source > target:
                yield f'{name}.0', f'{name}.1'
            for step in range(target - source):
                yield f'{name}.{step}.0', f'{name}.{step}.1'


def block_names(root: str, convs: int, *, has_shortcut: bool = False) -> Iterator[tuple[str, str]]:
    """(convolution, normalization) of a residual block called ``root``, in order."""
    for index in range(1, convs + 1):
        yield f'{root}.conv{index}', f'{root}.bn{index}'
    if has_shortcut:
        yield f'{root}.downsample.0', f'{root}.downsample.1'


def resnet(source: str, target: str, *, depth: int, stem: Stem) -> Iterator[LayerMapping]:
    """ResNet of bottlenecks whose stem, of three convolutions or one, the file calls ``stem``."""
    ours = STEM if len(stem) > 1 else STEM_PLAIN
    for (conv, norm), (our_conv, our_norm) in zip(stem, ours, strict=True):
        yield LayerMapping(source + conv, target + our_conv, source + norm, target + our_norm)
    for layer, blocks in enumerate(RESNET_BLOCKS[depth], start=1):
        for block in range(blocks):
            for conv, norm in block_names(f'layer{layer}.{block}', 3, has_shortcut=block == 0):
                yield LayerMapping(source + conv, target + conv, source + norm, target + norm)


def plain_resnet(source: str, target: str, *, depth: int) -> Iterator[LayerMapping]:
    """ResNet whose stem is one 7x7 convolution, 18 layers deep or of bottlenecks."""
    blocks, convs = (RESNET_BLOCKS[depth], 3) if depth in RESNET_BLOCKS else ((2, 2, 2, 2), 2)
    names = [('conv1', 'bn1')]
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            # layer1 of ResNet-18 keeps the stem's width
            has_shortcut = block == 0 and (layer > 1 or convs == 3)
            names += block_names(f'layer{layer}.{block}', convs, has_shortcut=has_shortcut)
    for conv, norm in names:
        yield LayerMapping(source + conv, target + conv, source + norm, target + norm)


def backbone_kind(names: Collection[str], prefix: str) -> str | None:
    """'hrnet' or 'resnet' by the names of the last stage."""
    for kind, stage in (('hrnet', 'stage4.'), ('resnet', 'layer4.')):
        if any(name.startswith(prefix + stage) for name in names):
            return kind
    return None


def is_hrnet2x(names: Collection[str], prefix: str) -> bool:
    """Whether an HRNet has the additional first stage of HRNet2x."""
    return any(name.startswith(f'{prefix}stage1.') for name in names)


def hrnet_is_small(names: Collection[str], prefix: str) -> bool:
    """Whether layer1 has two blocks, as in mmseg's small HRNet-W18."""
    return not any(name.startswith(f'{prefix}layer1.3.') for name in names)


def hrnet_width(weights: Mapping[str, Array], prefix: str) -> int:
    """Channels of the finest branch, told by whichever of its convolutions the file has."""
    branch = re.compile(re.escape(prefix) + r'stage[234]\.\d+\.branches\.0\.\d+\.conv\d\.weight')
    return next((int(value.shape[0]) for name, value in weights.items() if branch.fullmatch(name)),
                USUAL_WIDTH)  # fmt: skip


def resnet_depth(names: Collection[str], prefix: str) -> int:
    """50, 101 or 152, by the length of the third stage."""
    for depth, block in ((152, 23), (101, 6)):
        if any(name.startswith(f'{prefix}layer3.{block}.') for name in names):
            return depth
    return 50


def plain_resnet_depth(names: Collection[str], prefix: str) -> int:
    """18, or that of a ResNet of bottlenecks."""
    if not any(name.startswith(f'{prefix}layer1.0.conv3.') for name in names):
        return 18
    return resnet_depth(names, prefix)
