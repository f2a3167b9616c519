"""Masks of the COCO format: polygons and run lengths."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.core.clip import clip_polygon, is_near
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
    height, width = size
    values = np.zeros(height * width, bool)
    values[run_pixels(read_runs(mask, size=size, where=f'{path}: {what or "a mask"}'))] = True
    return values.reshape(width, height).T


def read_runs(mask: Any, *, size: tuple[int, int], where: str) -> np.ndarray:
    """Lengths of runs of 0 and 1 in turn, down the columns, that cover (H, W): (n,) int64.

    Raises:
        DataError: as :func:`decode_rle`.
    """
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
        total = size[0] * size[1]
        if runs.ndim != 1 or (runs < 0).any() or runs.sum() != total:
            raise ValueError(f'they cover {runs.sum()} of {total} pixels')
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f'{where} has damaged run lengths: {error}') from error
    return runs


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
        DataError: there is no polygon, or one cannot be drawn.
    """
    height, width = size
    mask = np.zeros(height * width, bool)
    mask[polygon_pixels(polygons, size=size, where=f'{path}: {what}')] = True
    return mask.reshape(width, height).T


def polygon_pixels(polygons: Any, *, size: tuple[int, int], where: str) -> np.ndarray:
    """Pixels of polygons, counted down the columns (x * H + y): (n,) int64, some perhaps twice.

    Only the pixels inside cost something, not the whole image.

    Raises:
        DataError: there is no polygon, or one cannot be drawn.
    """
    coco = _pycocotools()
    if not polygons:
        raise DataError(f'{where} has no polygon')
    for polygon in polygons:
        problem = problem_of_polygon(polygon, size)
        if problem:
            raise DataError(f'{where} {problem}')
    near = [_near(polygon, size) for polygon in polygons]
    found = coco.frPyObjects([flat for flat in near if flat], *size) if any(near) else []
    return np.concatenate(
        [np.empty(0, np.int64), *(run_pixels(decode_counts(mask['counts'])) for mask in found)]
    )


def run_pixels(runs: np.ndarray) -> np.ndarray:
    """Positions of the ones of lengths of runs of 0 and 1 in turn: (n,) int64."""
    ends = np.cumsum(runs)
    lengths = runs[1::2]
    starts = ends[0::2][: len(lengths)]
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def _near(polygon: list[float], size: tuple[int, int]) -> list[float]:
    """The polygon as floats, cut to the surroundings of the image where it leads far away."""
    corners = list(zip(polygon[0::2], polygon[1::2]))
    if not is_near(corners, size):
        corners = clip_polygon(corners, size)
    return [float(v) for corner in corners for v in corner] if len(corners) > 2 else []


def problem_of_polygon(polygon: Any, size: tuple[int, int]) -> str | None:
    """What is wrong with [x0, y0, x1, y1, ...] on an image of (H, W) pixels, or None.

    The text begins with a verb.
    """
    if not isinstance(polygon, list | tuple) or not all(
        isinstance(value, int | float) for value in polygon
    ):
        return 'has a polygon that is no list of numbers'
    xs, ys = polygon[0::2], polygon[1::2]
    if len(xs) != len(ys):
        return 'has a polygon that is no list of x and y in turn'
    if not all(map(math.isfinite, polygon)):
        bad = next(value for value in polygon if not math.isfinite(value))
        return f'has a polygon with the coordinate {bad}: fix or remove it'
    if len(xs) < 3:
        return f'has a polygon of {len(xs)} points: three are needed'
    height, width = size
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    if right < 0 or bottom < 0 or left > width or top > height:
        return (
            f'has a polygon outside the image of {width}x{height} pixels (x {left:g}..{right:g}, '
            f'y {top:g}..{bottom:g}): were the coordinates made for another size?'
        )
    if left == right or top == bottom:
        return 'has a polygon without area'
    return None


def _pycocotools():
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DependencyError(
            'drawing COCO polygons needs pycocotools: pip install pycocotools'
        ) from error
    return mask
