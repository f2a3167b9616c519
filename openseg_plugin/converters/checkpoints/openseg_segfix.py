"""openseg.pytorch's SegFix networks: both backbones, both norm layouts of :mod:`.openseg`.

Two heads of two 1x1 convolutions without bias: ``mask_head`` (interior, boundary) and ``dir_head``
(one row per direction). The backbone is an HRNet, or HRNet2x, whose file has a first stage.
"""

from collections.abc import Iterator, Mapping

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.conversion import BGR_HRNET, Conversion, Source
from openseg_plugin.converters.checkpoints.keys import (
    Array,
    LayerMapping,
    conv_module,
    translate,
    without_prefix,
)

NAME = 'openseg'
_BACKBONE = 'backbone.'
_HEAD = 'decode_head'
_HEADS = {'mask_head': 'boundary', 'dir_head': 'direction'}
# the configs' sizes
WIDTHS = {'hrnet': 48, 'hrnet2x': 20}
BRANCHES = {'hrnet': 4, 'hrnet2x': 5}
CHANNELS, DIRECTIONS = 256, 8


def identify(weights: Mapping[str, Array]) -> str | None:
    """'segfix_hrnet' or 'segfix_hrnet2x', or None if there are not these two heads on an HRNet."""
    weights = without_prefix(weights, 'module.')
    heads = {name.split('.', 1)[0] for name in weights} - {'backbone'}
    if heads != set(_HEADS) or networks.backbone_kind(weights, _BACKBONE) != 'hrnet':
        return None
    return 'segfix_hrnet2x' if networks.is_hrnet2x(weights, _BACKBONE) else 'segfix_hrnet'


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    weights = without_prefix(weights, 'module.')
    kind = name.removeprefix('segfix_')
    norm = '.0' if any(f'{head}.1.0.weight' in weights for head in _HEADS) else ''
    backbone = networks.hrnet2x if kind == 'hrnet2x' else networks.hrnet
    width = networks.hrnet_width(weights, _BACKBONE)
    state = translate(
        weights,
        [*backbone(_BACKBONE, _BACKBONE), *_head(norm)],
        is_inplace_abn=not norm,
        what=f'{name} of {NAME}',
    )
    directions, channels = state[f'{_HEAD}.direction_seg.weight'].shape[:2]
    layout = 'bgr' if norm else 'iabn'
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method='segfix',
        backbone=f'{kind}{width}',
        num_classes=int(directions),
        norm_layout='batchnorm' if norm else 'inplace_abn',
        config=f'segfix/{kind}{WIDTHS[kind]}_{layout}_cityscapes_80k.py',
        cfg_options=_options(kind, int(width), channels=int(channels), directions=int(directions)),
        preprocessing=BGR_HRNET,
        align_corners=True,
        has_leaky_head=not norm,
    )


def _head(norm: str) -> Iterator[LayerMapping]:
    """Table of both heads; ``norm`` is what follows a norm's index ('' or '.0')."""
    for theirs, ours in _HEADS.items():
        yield conv_module(f'{theirs}.0', f'{_HEAD}.{ours}_conv', f'{theirs}.1{norm}')
        yield LayerMapping(f'{theirs}.2', f'{_HEAD}.{ours}_seg')


def _options(kind: str, width: int, *, channels: int, directions: int) -> dict[str, object]:
    """What to change in the config for a network of other sizes."""
    options: dict[str, object] = {}
    if width != WIDTHS[kind]:
        options['model.backbone.width'] = width
        options[f'model.{_HEAD}.in_channels'] = [width * 2**i for i in range(BRANCHES[kind])]
    if channels != CHANNELS:
        options[f'model.{_HEAD}.channels'] = channels
    if directions != DIRECTIONS:
        options[f'model.{_HEAD}.num_directions'] = directions
    return options
