"""Heads that name the maps they read by stride: the backbone says which those are.

A head's config may have ``in_strides`` instead of ``in_index`` and ``in_channels``: one stride,
such as 16, or a sequence, such as (4, 8, 16, 32), whose maps are resized to the first one's size
and concatenated. So the same head fits every backbone. Inside ``region`` it works in the same way,
and ``skip_stride`` stands for ``skip_index`` and ``skip_in_channels``.

Of several maps of a stride, as a dilated backbone or a transformer has them, the deepest counts;
where a sequence names the stride k times, the k deepest in their order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError

_PROBE = (128, 128)  # image whose maps tell their strides
# option -> what it stands for
_OPTIONS = {
    'in_strides': ('in_index', 'in_channels'),
    'skip_stride': ('skip_index', 'skip_in_channels'),
}


@dataclass(frozen=True)
class FeatureMap:
    """One of the maps that heads get.

    Attributes:
        channels: C.
        stride: pixels of the image per pixel of the map.
    """

    channels: int
    stride: int


def names_strides(head: Mapping[str, Any]) -> bool:
    """Whether a head's config names maps by stride."""
    nested = (value for value in head.values() if isinstance(value, Mapping))
    return any(option in head for option in _OPTIONS) or any(map(names_strides, nested))


@torch.no_grad()
def feature_maps(
    backbone: Any, neck: nn.Module | None, *, channels: int | None = None
) -> list[FeatureMap]:
    """The maps of a backbone, or those that a neck makes of them.

    A backbone says so itself (``out_channels``, ``out_strides``); otherwise, and behind a neck,
    they are taken from the maps of an empty image, of so many channels (None: as the backbone says,
    else 3). Nothing of the modules is changed.
    """
    if neck is None and hasattr(backbone, 'out_strides'):
        pairs = zip(backbone.out_channels, backbone.out_strides)
        return [FeatureMap(channels, stride) for channels, stride in pairs]
    sides = getattr(backbone, 'img_size', None) or _PROBE
    parameter = next(backbone.parameters())
    width: Any = channels or getattr(backbone, 'in_channels', 3)
    image = torch.zeros(1, width, *sides, dtype=parameter.dtype, device=parameter.device)
    modules = [module for module in (backbone, neck) if module is not None]
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        maps: Any = image
        for module in modules:
            maps = module.eval()(maps)
    finally:
        for part, mode in modes:
            part.training = mode
    return [FeatureMap(x.shape[1], _stride(x, sides)) for x in maps if isinstance(x, Tensor)]


def _stride(x: Tensor, sides: Sequence[int]) -> int:
    """Power of two nearest to the ratio: a map may have a pixel more or less."""
    return 2 ** round(math.log2(sides[0] / x.shape[2]))


def resolve_strides(
    head: Mapping[str, Any], maps: Sequence[FeatureMap], *, key: str
) -> dict[str, Any]:
    """Config of a head with the indices and widths of the maps that it names by stride.

    Args:
        head: config of the head.
        maps: the maps that it gets.
        key: of the head in the config, for the message, such as 'model.decode_head'.

    Raises:
        ConfigError: there is no map of a stride, or indices are given, too.
    """
    resolved = {
        name: resolve_strides(value, maps, key=f'{key}.{name}')
        if isinstance(value, Mapping) and names_strides(value)
        else value
        for name, value in head.items()
    }
    for option, (index, channels) in _OPTIONS.items():
        strides: Any = resolved.pop(option, None)
        if strides is None:
            continue
        given = [name for name in (index, channels) if resolved.get(name) is not None]
        if given:
            raise ConfigError(
                f'{key} has {option} and {" and ".join(given)}: leave the latter out, the backbone '
                'says them.'
            )
        if isinstance(strides, int):
            found: Any = _indices([strides], maps, f'{key}.{option}')[0]
            resolved |= {index: found, channels: maps[found].channels}
        else:
            found = _indices(strides, maps, f'{key}.{option}')
            resolved |= {index: found, channels: [maps[i].channels for i in found]}
    return resolved


def _indices(strides: Sequence[int], maps: Sequence[FeatureMap], key: str) -> list[int]:
    """The last mention of a stride is its deepest map, the one before it the next finer one."""
    found = []
    for number, stride in enumerate(strides):
        of_stride = [index for index, one in enumerate(maps) if one.stride == stride]
        times = strides.count(stride)
        if times > len(of_stride):
            asked = f'{times} maps' if times > 1 else 'a map'
            there = ', '.join(str(one.stride) for one in maps)
            raise ConfigError(
                f'{key} asks for {asked} of stride {stride}, but the backbone gives {len(maps)} '
                f'{"map" if len(maps) == 1 else "maps"} of stride {there}: name one of these, or '
                'use another backbone, output_stride or a neck that makes finer maps.'
            )
        found.append(of_stride[-strides[number:].count(stride)])
    return found
