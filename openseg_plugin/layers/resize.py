"""Feature maps at another size: bilinear resize, and means over a grid of cells.

``nn.AdaptiveAvgPool2d`` is recorded with the bins of one size; :func:`grid_means` is a matrix
product, right at every size of a recorded graph. The bins are those of torch: cell i of n covers
rows floor(i * H / n) up to, but without, ceil((i + 1) * H / n), so that neighbors share a row
where n does not divide H, and a side may be shorter than n.

Pooling that rounds sizes up (``ceil_mode``) asks whether its last window begins outside; in a
recording it pads as far as that window reaches, and nothing is left to ask.

:func:`conv_of_resized` is a convolution of several maps that would be resized to the first one's
size and joined. Resizing and joining come before a 3x3 convolution in OCR on HRNet, and that
convolution on maps that were enlarged 4 and 8 times is a third of the whole network. It is linear,
as the resize is: each of its nine taps may act as a 1x1 convolution on the small map, and the
result is enlarged and shifted as the tap says. In real arithmetic the output is the same. For
prediction: the small products are not kept for a gradient.

Enlarging and shifting are one product with a band matrix per axis; a few rows of the result are
made at a time, so that what lies between stays small. In a recorded graph, which asks no sizes,
they are made at once (:func:`recorded_conv_of_resized`).

Legend: N batch, (H, W) size of the map at hand; in the last part C channels of a map, K channels of
the result, T taps of the kernel's side (1 or 3), (h, w) and (H, W) sizes of a map and of the first
map in their own pixels.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Literal, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openseg_plugin.layers.exporting import is_known_equal

TOP_LEFT: Final = 'top_left'
AlignCorners = bool | Literal['top_left']


def resize_bilinear(maps: Tensor, size: Sequence[int], *, align_corners: AlignCorners) -> Tensor:
    """Maps at ``size``; the very same tensor when it has that size already.

    Unlike ``mmseg.models.utils.resize`` it skips the resize that changes nothing (a full pass over
    the tensor) and does not warn about sizes that are not ``n * x + 1``.

    Args:
        maps: (N, C, h, w) floating point.
        size: (H, W) in pixels.
        align_corners: True puts the corner pixels' centers onto each other, False the corners of
            the two grids; 'top_left' the centers of the top left pixels alone: pixel y of H reads
            from y * h / H, up to the last (PaddleSeg's ISANet for Cityscapes).

    Returns:
        (N, C, H, W), dtype and memory format of ``maps``.
    """
    size = torch.Size(size)
    if is_known_equal(maps.shape[2:], size):
        return maps
    if align_corners == TOP_LEFT:
        for axis in (3, 2):  # the map is smallest before its rows are stretched
            maps = _stretch_from_top_left(maps, size[axis - 2], axis)
        return maps
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=align_corners)


def _stretch_from_top_left(maps: Tensor, length: int, axis: int) -> Tensor:
    """Linear resize of one axis to ``length``: pixel i reads from i * (old length / length)."""
    position = torch.arange(length, dtype=torch.float64, device=maps.device)
    return sample_axis(maps, position * (maps.shape[axis] / length), axis)


def sample_axis(maps: Tensor, position: Tensor, axis: int) -> Tensor:
    """Linear interpolation of maps (N, C, h, w) along one axis.

    Args:
        maps: floating point.
        position: (P,) in pixels of that axis; outside of the map its edge counts.
        axis: 2 or 3.

    Returns:
        ``maps`` with P pixels along the axis.
    """
    last = maps.shape[axis] - 1
    position = position.clamp(min=0, max=last)
    before = position.long()
    weight = (position - before).to(maps.dtype).view([-1 if i == axis else 1 for i in range(4)])
    behind = maps.index_select(axis, (before + 1).clamp(max=last))
    return torch.lerp(maps.index_select(axis, before), behind, weight)


def concat_at_first(maps: Sequence[Tensor], *, align_corners: AlignCorners) -> Tensor:
    """Channels of all maps side by side, at the size of the first map.

    Args:
        maps: tensors (N, C_i, h_i, w_i).
        align_corners: see :func:`resize_bilinear`.

    Returns:
        (N, sum of C_i, h_0, w_0).
    """
    size = maps[0].shape[2:]
    return torch.cat([resize_bilinear(m, size, align_corners=align_corners) for m in maps], dim=1)


def grid_means(maps: Tensor, cells: int) -> Tensor:
    """Means (N, C, cells, cells) of maps (N, C, H, W), floating point."""
    if cells == 1:
        return maps.mean((2, 3), keepdim=True)
    rows = _averages(maps.shape[2], cells, maps)
    columns = _averages(maps.shape[3], cells, maps)
    return torch.matmul(torch.matmul(rows, maps), columns.transpose(0, 1))


def _averages(side: int, cells: int, like: Tensor) -> Tensor:
    """(cells, side): row i holds the weights of the pixels that cell i is the mean of."""
    pixel = torch.arange(side, device=like.device)
    cell = torch.arange(cells, device=like.device).unsqueeze(1)
    first = torch.div(cell * side, cells, rounding_mode='floor')
    # ceil of a quotient of whole numbers above zero, without the sign that targets truncate
    last = torch.div((cell + 1) * side - 1, cells, rounding_mode='floor')
    inside = ((pixel >= first) & (pixel <= last)).to(like.dtype)
    return inside / (last - first + 1).to(like.dtype)


def ceil_max_pool(pool: nn.MaxPool2d, maps: Tensor) -> Tensor:
    """What ``pool``, of ``ceil_mode``, makes of maps (N, C, H, W)."""
    padded = F.pad(maps, _reaching(pool, maps), value=float('-inf'))
    return F.max_pool2d(padded, pool.kernel_size, pool.stride)


def ceil_avg_pool(pool: nn.AvgPool2d, maps: Tensor) -> Tensor:
    """What ``pool``, of ``ceil_mode``, makes of maps (N, C, H, W): pixels outside do not count."""
    padding = _reaching(pool, maps)
    inside = F.pad(torch.ones_like(maps[:1, :1]), padding)
    sums = F.avg_pool2d(F.pad(maps, padding), pool.kernel_size, pool.stride)
    return sums / F.avg_pool2d(inside, pool.kernel_size, pool.stride)


@contextmanager
def exportable_forms(network: nn.Module) -> Iterator[None]:
    """Within it layers below ``network``, of whatever package, take forms right at any size."""
    changed = []
    for module in network.modules():
        form = _form_of(module)
        if form is not None:
            module.forward = form
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward  # the instance's own, so that of the class is there again


def _form_of(module: nn.Module) -> partial | None:
    if isinstance(module, nn.Conv2d) and type(module).__name__ == 'Conv2dSame':  # of timm
        # it needs mmcv, which the label maps of SegFix, who resize too, do without
        from openseg_plugin.layers.conv import same_conv

        return partial(same_conv, module)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        cells = module.output_size
        return partial(grid_means, cells=cells) if isinstance(cells, int) and cells > 1 else None
    if not isinstance(module, nn.MaxPool2d | nn.AvgPool2d) or not module.ceil_mode:
        return None
    kernel, stride, padding = (
        _pair(x) for x in (module.kernel_size, module.stride, module.padding)
    )
    # elsewhere the last window may begin outside and is dropped
    is_known = all(k >= s + p for k, s, p in zip(kernel, stride, padding))
    if isinstance(module, nn.MaxPool2d):
        is_known &= _pair(module.dilation) == (1, 1) and not module.return_indices
        return partial(ceil_max_pool, module) if is_known else None
    counts_padding = module.count_include_pad and padding != (0, 0)
    plain = not counts_padding and module.divisor_override is None
    return partial(ceil_avg_pool, module) if is_known and plain else None


def _reaching(pool: nn.MaxPool2d | nn.AvgPool2d, maps: Tensor) -> list[int]:
    """Pixels to add (left, right, top, bottom), as far as the last window reaches."""
    pads: list[int] = []
    kernel, stride, padding = (_pair(x) for x in (pool.kernel_size, pool.stride, pool.padding))
    for axis in (1, 0):
        side, k, s, p = maps.shape[2 + axis], kernel[axis], stride[axis], padding[axis]
        last = (side + 2 * p - k + s - 1) // s * s  # first pixel of the last window, in padded ones
        pads += [p, last + k - side - p]
    return pads


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


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


def recorded_conv_of_resized(
    conv: nn.Conv2d,
    maps: Sequence[Tensor],
    is_small: Sequence[bool],
    *,
    align_corners: AlignCorners,
) -> Tensor:
    """:func:`conv_of_resized` in a form for exported graphs, which holds for every size.

    Args:
        conv: likewise.
        maps: likewise.
        is_small: of each map, whether it is enlarged after the convolution.
        align_corners: likewise.
    """
    size, taps, outputs = maps[0].shape[2:], conv.kernel_size[0], conv.out_channels
    parts = conv.weight.split([one.shape[1] for one in maps], dim=1)
    joined = concat_at_first(
        [one for one, small in zip(maps, is_small) if not small], align_corners=align_corners
    )
    weight = torch.cat([part for part, small in zip(parts, is_small) if not small], dim=1)
    out = F.conv2d(joined, weight, conv.bias, padding=conv.padding)
    for one, part, small in zip(maps, parts, is_small):
        if not small:
            continue
        number, channels, height, width = one.shape
        each = part.permute(0, 2, 3, 1).reshape(outputs * taps * taps, channels, 1, 1)
        seen = F.conv2d(one, each).view(number, outputs, taps, taps, height, width)
        seen = seen.permute(0, 1, 2, 4, 3, 5)
        seen = seen.reshape(number, outputs, taps * height, taps * width)
        options: dict[str, Any] = dict(taps=taps, align_corners=align_corners, like=one)
        right = _through_taps(width, size[1], **options).permute(0, 2, 1)
        down = _through_taps(height, size[0], **options).permute(1, 0, 2)
        wide = torch.matmul(seen, right.reshape(taps * width, size[1]))
        out = out + torch.matmul(down.reshape(size[0], taps * height), wide)
    return out


def is_resized_conv(conv: nn.Module, maps: Sequence[Tensor]) -> bool:
    """Whether :func:`conv_of_resized` can do this convolution, and is faster."""
    if not is_plain_conv(conv) or torch.is_grad_enabled():
        return False
    taps = conv.kernel_size[0]
    return any(_stays_small(one, maps[0].shape[2:], taps) for one in maps[1:])


def is_plain_conv(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether it is a 1x1 or 3x3 convolution that keeps the size."""
    if not isinstance(conv, nn.Conv2d):
        return False
    taps = conv.kernel_size[0]
    plain = (conv.kernel_size, conv.stride, conv.dilation, conv.groups, conv.padding_mode)
    if plain != ((taps, taps), (1, 1), (1, 1), 1, 'zeros') or taps not in (1, 3):
        return False
    return conv.padding == (taps // 2, taps // 2)


def stays_small(channels: int, factor: float, taps: int) -> bool:
    """Whether a map is better enlarged, ``factor`` times, after a convolution than before it."""
    return factor >= _FACTOR and taps * taps * channels >= _WORK


def _stays_small(one: Tensor, size: Sequence[int], taps: int) -> bool:
    factor = min(whole / side for side, whole in zip(one.shape[2:], size))
    return stays_small(one.shape[1], factor, taps)


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
    like = torch.empty(0, dtype=torch.float64 if is_double else torch.float32)  # as the resize is
    return _through_taps(source, target, taps=taps, align_corners=align_corners, like=like)


def _through_taps(
    source: int, target: int, *, taps: int, align_corners: AlignCorners, like: Tensor
) -> Tensor:
    """See :func:`_band`, of the type and on the device of ``like``."""
    index = torch.arange(source, device=like.device)
    unit = (index.unsqueeze(1) == index).to(like.dtype).view(1, source, 1, source)
    resized = resize_bilinear(unit, (1, target), align_corners=align_corners)[0, :, 0]
    edge = taps // 2
    padded = F.pad(resized.transpose(0, 1), (0, 0, edge, edge))
    return torch.stack([padded[tap : tap + target] for tap in range(taps)])
