"""Refined label maps and masks: every boundary pixel takes the label its offset points to.

SegFix (ECCV 2020, Sec. 3.3), as in ``segfix.py`` and ``segfix_instance.py`` of openseg.pytorch
(commit aefc755). The original samples with bilinear ``grid_sample`` and rounds; for an integer
scale that is a plain lookup at the clamped position, which is what happens here. The other two
entries of ``SAMPLINGS`` repeat the original's blending of label *numbers* for comparison only.

Legend: N maps, H, W size in pixels. Offsets are (rows, columns), rows grow downwards.
"""

from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.segfix import SAMPLINGS
from openseg_plugin.segfix.regions import VOID, class_table

Map = TypeVar('Map', np.ndarray, Tensor)


def refine_labels(
    labels: Map,
    offsets: Map,
    *,
    scale: float = 2,
    kind: str = 'train',
    sampling: str = 'gather',
) -> Map:
    """Labels after one step of ``scale`` offsets, dtype and shape of ``labels``.

    Args:
        labels: (H, W) or, as tensor, (N, H, W) integers; unchanged.
        offsets: (H, W, 2) or (N, H, W, 2) integers.
        scale: what the offsets are multiplied with; an integer for 'gather'.
        kind: meaning of the numbers, see ``segfix.regions.KINDS``. Void of 'cityscapes' and
            'ade20k' becomes 255 everywhere, as in the original; 'train' keeps all numbers.
        sampling: one of ``SAMPLINGS``.

    Raises:
        ValueError: sizes differ, a fractional scale with 'gather', or an unknown sampling.
    """
    if tuple(offsets.shape) != (*labels.shape, 2):
        raise ValueError(
            f'offsets of shape {tuple(offsets.shape)} for labels of shape {tuple(labels.shape)}: '
            'one (rows, columns) pair for every pixel is needed'
        )
    if sampling not in SAMPLINGS:
        raise ValueError(f'sampling={sampling!r}: one of {SAMPLINGS} is needed')
    if sampling != 'gather':
        return _blend_labels(labels, offsets, scale, kind, sampling)
    labels = _void_as_255(labels, kind)
    if isinstance(labels, Tensor):
        return _gather(labels, offsets, _whole(scale))
    refined = labels.copy()
    target, source = gather_indices(offsets, scale=_whole(scale))
    refined.reshape(-1)[target] = labels.reshape(-1).take(source)
    return refined


def refine_masks(
    masks: Map,
    offsets: Map,
    *,
    scale: float = 1,
    sampling: str = 'gather',
) -> Map:
    """Object masks after one step of ``scale`` offsets, (N, H, W) bool.

    Args:
        masks: (N, H, W), nonzero inside the objects.
        offsets: (H, W, 2) integers, the same for all masks.
        scale: what the offsets are multiplied with; an integer for 'gather'.
        sampling: one of ``SAMPLINGS``; blended masks are cut at one half.

    Raises:
        ValueError: see :func:`refine_labels`.
    """
    masks = masks != 0
    if isinstance(masks, Tensor):
        offsets = offsets.expand(len(masks), *offsets.shape)
        if sampling != 'gather':
            return _sample(masks, offsets, scale, sampling) > 0.5
        return refine_labels(masks, offsets, scale=scale, sampling=sampling)
    if sampling != 'gather':
        steps = torch.from_numpy(np.ascontiguousarray(offsets)).expand(len(masks), *offsets.shape)
        return (_sample(torch.from_numpy(masks), steps, scale, sampling) > 0.5).numpy()
    target, source = gather_indices(offsets, scale=_whole(scale))
    refined = masks.copy()
    for mask, result in zip(masks, refined):
        result.reshape(-1)[target] = mask.reshape(-1).take(source)
    return refined


def gather_indices(offsets: np.ndarray, *, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat positions of the pixels that move and of the pixels they take their label from.

    Only a few percent of a map move, so the work is one look at each pair and a short gather.

    Args:
        offsets: (H, W, 2) integers.
        scale: what the offsets are multiplied with.

    Returns:
        Two int64 vectors, positions in a (H, W) map in row-major order.
    """
    height, width = offsets.shape[:2]
    if offsets.flags.f_contiguous and not offsets.flags.c_contiguous:
        # scipy reads .mat files column by column: (W, H) planes of rows and columns
        by_row, by_column = offsets.transpose(2, 1, 0)
        flat = np.flatnonzero((by_row | by_column) != 0)
        by_row, by_column = by_row.reshape(-1).take(flat), by_column.reshape(-1).take(flat)
        column = flat // height
        row = flat - column * height
        target = row * width + column
    else:
        offsets = np.ascontiguousarray(offsets)
        pairs = offsets.reshape(-1).view(f'V{2 * offsets.itemsize}')
        if 2 * offsets.itemsize <= 8:
            pairs = pairs.view(f'i{2 * offsets.itemsize}')  # one comparison for both numbers
            target = np.flatnonzero(pairs != 0)
        else:
            target = np.flatnonzero(offsets.any(axis=-1))
        by_row, by_column = pairs.take(target).view(offsets.dtype).reshape(-1, 2).T
        row = target // width
        column = target - row * width
    row += scale * by_row.astype(np.int64)
    column += scale * by_column.astype(np.int64)
    source = row.clip(0, height - 1) * width + column.clip(0, width - 1)
    return target, source


def _whole(scale: float) -> int:
    if int(scale) != scale:
        raise ValueError(
            f'scale={scale} moves pixels by a fraction of a pixel: give an integer, or '
            "sampling='bilinear' to blend label numbers as the original does"
        )
    return int(scale)


def _void_as_255(labels: Map, kind: str) -> Map:
    """Ids of Cityscapes or ADE20K with 255 for all that are no class; train ids as they are."""
    if kind == 'train':
        return labels
    ids = np.arange(256, dtype=np.uint8)
    table = np.where(class_table(kind) == VOID, np.uint8(VOID), ids)
    if isinstance(labels, Tensor):
        return torch.from_numpy(table).to(labels.device)[labels.long()].to(labels.dtype)
    return cv2.LUT(labels, table)


def _gather(labels: Tensor, offsets: Tensor, scale: int) -> Tensor:
    """Lookup at the clamped positions, on the device of ``labels`` (..., H, W)."""
    height, width = labels.shape[-2:]
    offsets = offsets.to(labels.device).long() * scale
    rows = torch.arange(height, device=labels.device)[:, None] + offsets[..., 0]
    columns = torch.arange(width, device=labels.device) + offsets[..., 1]
    source = rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)
    return labels.flatten(-2).gather(-1, source.flatten(-2)).view_as(labels)


def _sample(maps: Tensor, offsets: Tensor, scale: float, sampling: str) -> Tensor:
    """Bilinear samples (N, H, W) float32 at the offset positions, clamped to the border.

    Positions are normalized for align_corners=True, which 'bilinear_shifted' then disregards.
    """
    height, width = maps.shape[-2:]
    device = maps.device
    moved = scale * offsets.to(device).float()
    rows = torch.arange(height, device=device)[:, None] + moved[..., 0]
    columns = torch.arange(width, device=device) + moved[..., 1]
    grid = torch.stack([columns / max(width - 1, 1), rows / max(height - 1, 1)], dim=-1) * 2 - 1
    return F.grid_sample(
        maps[:, None].float(),
        grid,
        mode='bilinear',
        padding_mode='border',
        align_corners=sampling == 'bilinear',
    )[:, 0]


def _blend_labels(labels: Map, offsets: Map, scale: float, kind: str, sampling: str) -> Map:
    """The original's result: train ids sampled as numbers, rounded, turned back into label ids."""
    if not isinstance(labels, Tensor):
        tensor, steps = (torch.from_numpy(np.array(array)) for array in (labels, offsets))
        return _blend_labels(tensor, steps, scale, kind, sampling).numpy()
    single = labels.ndim == 2
    maps, offsets = (labels[None], offsets[None]) if single else (labels, offsets)
    to_train = class_table(kind)
    to_ids = np.full(256, VOID, np.uint8)
    classes = np.flatnonzero(to_train != VOID)
    to_ids[to_train[classes]] = classes
    encode, decode = (torch.from_numpy(t).long().to(labels.device) for t in (to_train, to_ids))
    blended = _sample(encode[maps.long()], offsets, scale, sampling).round().long()
    blended = decode[blended].to(labels.dtype)
    return blended[0] if single else blended
