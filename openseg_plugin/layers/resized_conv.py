"""A convolution of several maps that are resized to the first one's size and joined, not at it.

Resizing and joining come before a 3x3 convolution in OCR on HRNet, and that convolution on maps
that were enlarged 4 and 8 times is a third of the whole network. It is linear, as the resize is:
each of its nine taps may act as a 1x1 convolution on the small map, and the result is enlarged and
shifted as the tap says. In real arithmetic the output is the same. For prediction: the small
products are not kept for a gradient.

Enlarging and shifting are one product with a band matrix per axis; a few rows of the result are
made at a time, so that what lies between stays small.

Legend: N batch, C channels of a map, K channels of the result, T taps of the kernel's side (1 or
3), (h, w) and (H, W) sizes of a map and of the first map in their own pixels.
"""

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openseg_plugin.layers.resize import AlignCorners, concat_at_first, resize_bilinear

_ROWS = 64  # of the result that are made at a time
_COLUMNS = 64
_FACTOR = 4  # a map is kept small that would be enlarged as much or more,
_WORK = 200  # if the convolution takes as many products per output from it (measured on a CPU)


def conv_of_resized(
    conv: nn.Conv2d, maps: Sequence[Tensor], *, align_corners: AlignCorners
) -> Tensor:
    """``conv(concat_at_first(maps))`` up to rounding, for prediction.

    Args:
        conv: 1x1 or 3x3 that keeps the size, see :func:`is_resized_conv`.
        maps: tensors (N, C_i, h_i, w_i); their channels together are those of ``conv``.
        align_corners: see :func:`openseg_plugin.layers.resize.resize_bilinear`.

    Returns:
        (N, K, H, W) in channels-last memory, (H, W) of the first map.
    """
    size = maps[0].shape[2:]
    taps = conv.kernel_size[0]
    parts = conv.weight.split([one.shape[1] for one in maps], dim=1)
    is_small = [_stays_small(one, size, taps) for one in maps]
    large = [one for one, small in zip(maps, is_small) if not small]
    weight = torch.cat([part for part, small in zip(parts, is_small) if not small], dim=1)
    joined = concat_at_first(large, align_corners=align_corners)
    form = torch.channels_last
    out = F.conv2d(joined, weight.contiguous(memory_format=form), conv.bias, padding=conv.padding)
    del joined
    out = out.contiguous(memory_format=form)
    for one, part, small in zip(maps, parts, is_small):
        if small:
            _add_small(out, one, part, align_corners=align_corners)
    return out


def is_resized_conv(conv: nn.Module, maps: Sequence[Tensor]) -> bool:
    """Whether :func:`conv_of_resized` can do this convolution, and is faster."""
    if not isinstance(conv, nn.Conv2d) or torch.is_grad_enabled():
        return False
    taps = conv.kernel_size[0]
    plain = (conv.kernel_size, conv.stride, conv.dilation, conv.groups, conv.padding_mode)
    if plain != ((taps, taps), (1, 1), (1, 1), 1, 'zeros') or taps not in (1, 3):
        return False
    if conv.padding != (taps // 2, taps // 2):
        return False
    return any(_stays_small(one, maps[0].shape[2:], taps) for one in maps[1:])


def _stays_small(one: Tensor, size: Sequence[int], taps: int) -> bool:
    is_enlarged = all(_FACTOR * side <= whole for side, whole in zip(one.shape[2:], size))
    return is_enlarged and taps * taps * one.shape[1] >= _WORK


def _add_small(out: Tensor, one: Tensor, weight: Tensor, *, align_corners: AlignCorners) -> None:
    """Adds what the convolution with ``weight`` (K, C, T, T) makes of a small map to ``out``."""
    number, outputs, height, width = out.shape
    taps = weight.shape[2]
    is_double = out.dtype == torch.float64
    kind = dict(taps=taps, align_corners=align_corners, is_double=is_double)
    down = _band(one.shape[2], height, **kind).to(out)
    right = _band(one.shape[3], width, **kind).to(out)
    weight_C_TTK = weight.permute(1, 2, 3, 0).reshape(one.shape[1], -1).to(out)
    small_NhwC = one.permute(0, 2, 3, 1)
    out_NHWK = out.permute(0, 2, 3, 1)
    for start in range(0, height, _ROWS):
        rows = down[:, start : start + _ROWS]
        low, high = _used(rows)
        band = rows[:, :, low:high].permute(1, 2, 0).reshape(rows.shape[1], -1)
        for index in range(number):
            wide = _stretched(small_NhwC[index, low:high], weight_C_TTK, right, outputs)
            target = out_NHWK[index, start : start + _ROWS].view(rows.shape[1], -1)
            target.addmm_(band, wide.view(band.shape[1], -1))


def _stretched(rows: Tensor, weight: Tensor, right: Tensor, outputs: int) -> Tensor:
    """All taps of some rows (r, w, C) at the full width: (r * T, W, K), row by row."""
    count, narrow, channels = rows.shape
    taps, width, _ = right.shape
    small = (rows.reshape(-1, channels) @ weight).view(count, narrow, taps, taps, outputs)
    small = small.permute(0, 2, 3, 1, 4).reshape(count * taps, taps, narrow, outputs)
    wide = rows.new_empty((count * taps, width, outputs))
    for start in range(0, width, _COLUMNS):
        columns = right[:, start : start + _COLUMNS]
        low, high = _used(columns)
        band = columns[:, :, low:high].permute(1, 0, 2).reshape(columns.shape[1], -1)
        source = small[:, :, low:high].reshape(count * taps, band.shape[1], outputs)
        wide[:, start : start + _COLUMNS] = torch.matmul(band, source)
    return wide


def _used(matrix: Tensor) -> tuple[int, int]:
    """First and one past the last source that (T, targets, sources) draws from."""
    used = matrix.any(0).any(0).nonzero()
    if not len(used):
        return 0, 1
    return int(used[0]), int(used[-1]) + 1


@functools.lru_cache(maxsize=64)
def _band(
    source: int, target: int, *, taps: int, align_corners: AlignCorners, is_double: bool
) -> Tensor:
    """Resize of one axis, seen through each tap: (T, target, source) float32 or float64.

    Row y of tap t says what the resized map holds at y + t - T // 2; outside of it zero.
    """
    kind = torch.float64 if is_double else torch.float32  # as the resize itself computes
    unit = torch.eye(source, dtype=kind).view(1, source, 1, source)
    resized = resize_bilinear(unit, (1, target), align_corners=align_corners)[0, :, 0].T
    edge = taps // 2
    padded = F.pad(resized, (0, 0, edge, edge))
    return torch.stack([padded[tap : tap + target] for tap in range(taps)])
