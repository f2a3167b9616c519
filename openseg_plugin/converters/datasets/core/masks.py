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
    where = f'{path}: {what or "a mask"}'
    try:
        found = tuple(mask['size'])
        counts = mask['counts']
    except (KeyError, TypeError) as error:
        raise DataError(f'{where} has no size and counts') from error
    if len(found) != 2:
        raise DataError(f'{where} has the size {list(found)}: height and width are needed')
    if found != tuple(size):
        raise DataError(f'{where} is for {found[1]}x{found[0]} pixels, not {size[1]}x{size[0]}')
    try:
        runs = np.asarray(counts, np.int64) if isinstance(counts, list) else decode_counts(counts)
        return _from_runs(runs, size)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f'{where} has damaged run lengths: {error}') from error


def decode_counts(text: str | bytes) -> np.ndarray:
    """Run lengths of COCO's compressed form: (n,) int64.

    Numbers are written as groups of 5 bits, lowest first, in characters from ``0`` on; bit 5 says
    that the number goes on, bit 4 of its last group is the sign. From the fourth number on, the
    difference to the last but one is stored.

    Raises:
        ValueError: the text ends within a number or has other characters.
    """
    raw = text.encode('ascii') if isinstance(text, str) else text
    groups = np.frombuffer(raw, np.uint8).astype(np.int64) - ord('0')
    if groups.size and not 0 <= groups.min() <= groups.max() < 64:
        raise ValueError('they hold characters that do not occur in run lengths')
    last = (groups & 32) == 0
    if not groups.size or not last[-1]:
        raise ValueError('they end within a number')
    first = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    place = np.arange(len(groups)) - np.repeat(first, np.diff([*first, len(groups)]))
    if place.max() > 6:
        raise ValueError('they hold a number of more than 32 bits')
    numbers = np.add.reduceat((groups & 31) << 5 * place, first)
    negative = (groups[last] & 16) != 0
    numbers -= negative * (np.int64(1) << 5 * (place[last] + 1))
    for start in (1, 2):
        numbers[start::2] = np.cumsum(numbers[start::2])
    return numbers


def draw_polygons(
    polygons: list[list[float]], *, size: tuple[int, int], path: Path, what: str
) -> np.ndarray:
    """Union of polygons [x0, y0, x1, y1, ...], as pycocotools draws them: (H, W) bool.

    Raises:
        DataError: a polygon has fewer than three points or lies outside the image.
    """
    coco = _pycocotools()
    height, width = size
    if not polygons:
        raise DataError(f'{path}: {what} has no polygon')
    for polygon in polygons:
        check_polygon(polygon, size=size, where=f'{path}: {what}')
    runs = coco.frPyObjects([[float(v) for v in polygon] for polygon in polygons], height, width)
    return _from_runs(decode_counts(coco.merge(runs)['counts']), size)


def check_polygon(polygon: list[float], *, size: tuple[int, int], where: str) -> None:
    """Makes sure that a flat list of coordinates is a polygon that touches the image.

    Raises:
        DataError: it is not.
    """
    height, width = size
    try:
        xs, ys = np.asarray(polygon[0::2], float), np.asarray(polygon[1::2], float)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f'{where} has a polygon that is no list of numbers') from error
    if xs.ndim != 1 or len(xs) != len(ys):
        raise DataError(f'{where} has a polygon that is no list of x and y in turn')
    infinite = [value for value in (*xs, *ys) if not np.isfinite(value)]
    if infinite:
        raise DataError(
            f'{where} has a polygon with the coordinate {infinite[0]}: fix or remove it'
        )
    if len(xs) < 3:
        raise DataError(f'{where} has a polygon of {len(xs)} points: three are needed')
    if xs.max() < 0 or ys.max() < 0 or xs.min() > width or ys.min() > height:
        raise DataError(
            f'{where} has a polygon outside the image of {width}x{height} pixels (x '
            f'{xs.min():g}..{xs.max():g}, y {ys.min():g}..{ys.max():g}): were the coordinates made '
            'for another size?'
        )


def _from_runs(runs: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask (H, W) bool from lengths of runs of 0 and 1 in turn, down the columns."""
    height, width = size
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f'they cover {runs.sum()} of {height * width} pixels')
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(width, height).T


def _pycocotools():
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DependencyError(
            'drawing COCO polygons needs pycocotools: pip install pycocotools'
        ) from error
    return mask
