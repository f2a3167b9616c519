"""Cutting shapes to the surroundings of an image, so that drawing costs what the image costs.

Coordinates far outside (1e8) would make every drawing library count pixels that nobody sees.
Shapes near the image are left as they are, to the last bit.
"""

import itertools
from collections.abc import Sequence

Point = tuple[float, float]
# Larger coordinates are no coordinates: whole numbers of them are not exact any more.
FARTHEST = 1e15
# Shapes that reach further than so many image sizes are cut to a border of one image size.
_FAR = 4


def reach(size: tuple[int, int]) -> int:
    """How far from 0 coordinates may lie before shapes on an image (H, W) are cut."""
    return _FAR * max(*size, 64)


def is_near(points: Sequence[Point], size: tuple[int, int]) -> bool:
    """Whether all points (x, y) lie within a few image sizes (H, W)."""
    limit = reach(size)
    return all(-limit <= x <= limit and -limit <= y <= limit for x, y in points)


def clip_polygon(points: Sequence[Point], size: tuple[int, int]) -> list[Point]:
    """The part of a polygon around an image: the same pixels, with near coordinates.

    Args:
        points: corners (x, y).
        size: (H, W) of the image.

    Returns:
        Corners; the points themselves where they are near; empty where nothing is left.
    """
    if is_near(points, size):
        return list(points)
    corners = list(points)
    for axis, limit, keeps_larger in _edges(size):
        corners = _cut(corners, axis, limit, keeps_larger)
    return corners


def clip_line(points: Sequence[Point], size: tuple[int, int]) -> list[list[Point]]:
    """Parts of an open line around an image, each a list of points; see :func:`clip_polygon`."""
    if is_near(points, size):
        return [list(points)]
    parts = []
    for start, end in itertools.pairwise(points):
        part = [start, end]
        for axis, limit, keeps_larger in _edges(size):
            part = _cut(part, axis, limit, keeps_larger, is_closed=False)
        if len(part) > 1:
            parts.append(part)
    return parts


def _edges(size: tuple[int, int]) -> tuple[tuple[int, float, bool], ...]:
    """Axis, coordinate, and whether larger ones are kept, of the four sides of the border."""
    height, width = size
    border = max(height, width, 64)
    return (
        (0, -border, True),
        (0, width + border, False),
        (1, -border, True),
        (1, height + border, False),
    )


def _cut(
    corners: list[Point], axis: int, limit: float, keeps_larger: bool, *, is_closed: bool = True
) -> list[Point]:
    """What lies on one side of an upright or level line (Sutherland and Hodgman, 1974)."""
    kept: list[Point] = []
    before = corners[-1:] if is_closed else []
    for point in corners:
        inside = point[axis] >= limit if keeps_larger else point[axis] <= limit
        for other in before:
            was = other[axis] >= limit if keeps_larger else other[axis] <= limit
            if was != inside:
                kept.append(_crossing(other, point, axis, limit))
        if inside:
            kept.append(point)
        before = [point]
    return kept


def _crossing(a: Point, b: Point, axis: int, limit: float) -> Point:
    other = a[1 - axis] + (b[1 - axis] - a[1 - axis]) * ((limit - a[axis]) / (b[axis] - a[axis]))
    return (limit, other) if axis == 0 else (other, limit)
