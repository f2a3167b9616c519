"""Masks of the COCO format: polygons and run lengths."""

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.core.shapes import FARTHEST, clip_polygon, reach
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
    for start, end in bounds(read_runs(mask, size=size, where=f'{path}: {what or "a mask"}')):
        values[start:end] = True
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
        if runs.ndim != 1 or (runs < 0).any():
            raise ValueError('they are no list of lengths')
        if runs.sum() != total:
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
    raw = text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text
    return _decode_all([raw])[0]


def _decode_all(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of several masks, one after the other: (n,) int64, and where each begins.

    NumPy takes as long for a mask as for a hundred, so the polygons of an image are one call.

    Raises:
        ValueError: as :func:`decode_counts`.
    """
    groups = np.frombuffer(b''.join(texts), np.uint8).astype(np.int64) - ord('0')
    if groups.size and not 0 <= groups.min() <= groups.max() < 64:
        raise ValueError('they hold characters that do not occur in run lengths')
    last = (groups & 32) == 0
    stops = np.cumsum([len(text) for text in texts])
    if not all(map(len, texts)) or not last[stops - 1].all():
        raise ValueError('they end within a number')
    ends = np.flatnonzero(last)
    first = np.empty_like(ends)
    first[0], first[1:] = 0, ends[:-1] + 1
    lengths = ends - first + 1
    if lengths.max() > 7:
        raise ValueError('they hold a number of more than 32 bits')
    place = np.arange(len(groups)) - np.repeat(first, lengths)
    numbers = np.add.reduceat((groups & 31) << 5 * place, first)
    numbers -= ((groups[ends] & 16) << 1) << 5 * (lengths - 1)
    after = np.searchsorted(ends, stops)  # number of numbers up to the end of each mask
    begins = np.concatenate([[0], after[:-1]])
    place = np.arange(len(numbers)) - np.repeat(begins, after - begins)
    for start in (1, 2):
        _sum_up(numbers, np.flatnonzero((place % 2 == start % 2) & (place >= start)), place, start)
    return numbers, begins


def _sum_up(numbers: np.ndarray, chosen: np.ndarray, place: np.ndarray, start: int) -> None:
    """Replaces numbers by their sums up to each, anew from every place ``start`` on."""
    if not chosen.size:
        return
    values = numbers[chosen]
    sums = np.cumsum(values)
    heads = np.flatnonzero(place[chosen] == start)
    before = sums[heads] - values[heads]
    numbers[chosen] = sums - np.repeat(before, np.diff([*heads, len(chosen)]))


def runs_of_shapes(
    shapes: Sequence[tuple[Any, str]], *, size: tuple[int, int]
) -> list[Iterable[tuple[int, int]]]:
    """Runs of pixels of several shapes, (first, last + 1) of x * H + y each, to be read once.

    Those of one shape may overlap. Filling them costs what the polygons cover, not what the image
    holds.

    Args:
        shapes: polygons of a shape, and what messages call it.
        size: (H, W) of the image.

    Raises:
        DataError: a shape has no polygon, or one cannot be drawn.
    """
    texts: list[bytes] = []
    owners: list[int] = []
    for number, (polygons, where) in enumerate(shapes):
        check_polygons(polygons, size=size, where=where)
        near = [flat for flat in (_near(polygon, size) for polygon in polygons) if flat]
        if near:
            made = _pycocotools().frPyObjects(near, *size)
            texts += [mask['counts'] for mask in made]
            owners += [number] * len(made)
    found: list[Iterable[tuple[int, int]]] = [()] * len(shapes)
    if not texts:
        return found
    numbers, begins = _decode_all(texts)
    reached = np.cumsum(numbers)
    reached -= np.repeat(reached[begins] - numbers[begins], np.diff([*begins, len(numbers)]))
    edges = reached.tolist()
    limits = [*begins.tolist(), len(edges)]
    for owner, begin, end in zip(owners, limits, limits[1:]):
        runs = zip(edges[begin:end:2], edges[begin + 1 : end : 2])
        found[owner] = itertools.chain(found[owner], runs) if found[owner] else runs
    return found


def check_polygons(polygons: Any, *, size: tuple[int, int], where: str) -> None:
    """Makes sure that there are polygons, and that all can be drawn.

    Raises:
        DataError: they cannot.
    """
    if not polygons:
        raise DataError(f'{where} has no polygon')
    for polygon in polygons:
        problem = problem_of_polygon(polygon, size)
        if problem:
            raise DataError(f'{where} {problem}')


def bounds(runs: np.ndarray) -> list[tuple[int, int]]:
    """(first, last + 1) of the ones of lengths of runs of 0 and 1 in turn."""
    ends = np.cumsum(runs).tolist()
    return list(zip(ends[0::2], ends[1::2]))


def _near(polygon: list[float], size: tuple[int, int]) -> list[float]:
    """The polygon, cut to the surroundings of the image where it leads far away."""
    limit = reach(size)
    if -limit <= min(polygon) and max(polygon) <= limit:
        return polygon
    corners = clip_polygon(list(zip(polygon[0::2], polygon[1::2])), size)
    return [float(v) for corner in corners for v in corner] if len(corners) > 2 else []


def _has_nan(values: Sequence[float]) -> bool:
    """Whether a value is no number, which no comparison finds; all others are small."""
    return math.isnan(math.fsum(values))


def problem_of_polygon(polygon: Any, size: tuple[int, int]) -> str | None:
    """What is wrong with [x0, y0, x1, y1, ...] on an image of (H, W) pixels, or None.

    The text begins with a verb.
    """
    if isinstance(polygon, int | float):
        return 'has a segmentation that is no list of polygons [[x, y, x, y, ...], ...]'
    if not isinstance(polygon, list | tuple) or not set(map(type, polygon)) <= {int, float}:
        return 'has a polygon that is no list of numbers'
    xs, ys = polygon[0::2], polygon[1::2]
    if len(xs) != len(ys):
        return 'has a polygon that is no list of x and y in turn'
    if (polygon and not -FARTHEST <= min(polygon) <= max(polygon) <= FARTHEST) or _has_nan(polygon):
        bad = next(value for value in polygon if not -FARTHEST <= value <= FARTHEST)
        return f'has a polygon with the coordinate {bad!s:.40}'
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


def _pycocotools() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DependencyError(
            'drawing COCO polygons needs pycocotools: pip install pycocotools'
        ) from error
    return mask
