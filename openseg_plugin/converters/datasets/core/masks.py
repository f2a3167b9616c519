"""Masks of the COCO format: polygons and run lengths."""

from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.errors import DataError, DependencyError


def decode_rle(mask: Any, *, size: tuple[int, int], path: Path, what: str = '') -> np.ndarray:
    """Mask from run lengths, compressed (text) or plain (numbers): (H, W) bool.

    Args:
        mask: object with ``size`` [H, W] and ``counts``.
        size: (H, W) that it must have.
        path: its file, for messages.
        what: which annotation, for messages.

    Raises:
        DataError: the run lengths are damaged or belong to another size.
    """
    coco = _pycocotools()
    where = f'{path}: {what or "a mask"}'
    try:
        found = tuple(mask['size'])
        counts = mask['counts']
    except (KeyError, TypeError) as error:
        raise DataError(f'{where} has no size and counts') from error
    if found != tuple(size):
        raise DataError(f'{where} is for {found[1]}x{found[0]} pixels, not {size[1]}x{size[0]}')
    if isinstance(counts, list):
        return _decode_plain(counts, size, where)
    try:
        text = counts.encode() if isinstance(counts, str) else counts
        return coco.decode({'size': list(size), 'counts': text}).astype(bool)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f'{where} has damaged run lengths: {error}') from error


def draw_polygons(
    polygons: list[list[float]], *, size: tuple[int, int], path: Path, what: str
) -> np.ndarray:
    """Union of polygons [x0, y0, x1, y1, ...], as pycocotools draws them: (H, W) bool.

    Raises:
        DataError: a polygon has fewer than three points or lies outside the picture.
    """
    coco = _pycocotools()
    height, width = size
    for polygon in polygons:
        check_polygon(polygon, size=size, where=f'{path}: {what}')
    runs = coco.frPyObjects([[float(v) for v in polygon] for polygon in polygons], height, width)
    return coco.decode(coco.merge(runs)).astype(bool)


def check_polygon(polygon: list[float], *, size: tuple[int, int], where: str) -> None:
    """Makes sure that a flat list of coordinates is a polygon that touches the picture.

    Raises:
        DataError: it is not.
    """
    height, width = size
    try:
        xs, ys = np.asarray(polygon[0::2], float), np.asarray(polygon[1::2], float)
    except (TypeError, ValueError) as error:
        raise DataError(f'{where} has a polygon that is no list of numbers') from error
    if xs.ndim != 1 or len(xs) != len(ys) or not np.isfinite([*xs, *ys]).all():
        raise DataError(f'{where} has a polygon that is no list of x and y in turn')
    if len(xs) < 3:
        raise DataError(f'{where} has a polygon of {len(xs)} points: three are needed')
    if xs.max() < 0 or ys.max() < 0 or xs.min() > width or ys.min() > height:
        raise DataError(
            f'{where} has a polygon outside the picture of {width}x{height} pixels (x '
            f'{xs.min():g}..{xs.max():g}, y {ys.min():g}..{ys.max():g}): were the coordinates made '
            'for another size?'
        )


def _decode_plain(counts: list[int], size: tuple[int, int], where: str) -> np.ndarray:
    """Run lengths of 0 and 1 in turn, down the columns."""
    try:
        runs = np.asarray(counts, np.int64)
        if runs.ndim != 1 or (runs < 0).any() or runs.sum() != size[0] * size[1]:
            raise ValueError(f'they cover {runs.sum()} of {size[0] * size[1]} pixels')
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f'{where} has damaged run lengths: {error}') from error
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(size[1], size[0]).T


def _pycocotools():
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DependencyError(
            'COCO polygons and run lengths need pycocotools: pip install pycocotools'
        ) from error
    return mask
