"""Shapes that people draw on images, whichever program wrote them down, and how they are drawn.

Shapes are drawn in their order, later over earlier, filled including their outline.

They are cut to the surroundings of the image first, so that drawing costs what the image costs:
coordinates far outside (1e8) would make every drawing library count pixels that nobody sees.
Shapes near the image are left as they are, to the last bit.
"""

import base64
import binascii
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from openseg_plugin.errors import DataError

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


# Sizes in pixels at which labelme's own export draws lines and points.
_LINE_WIDTH, _POINT_RADIUS = 10, 5
# Kind -> number of points that it needs, at least.
KINDS = {
    'polygon': 3,
    'rectangle': 2,
    'circle': 2,
    'line': 2,
    'linestrip': 2,
    'point': 1,
    'points': 1,
    'ellipse': 1,
    'mask': 0,
}
# Corners of the polygon that stands for an ellipse.
_ELLIPSE = 96
_HINT = 'fix it, or give --skip-bad-shapes'


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape.

    Attributes:
        label: name of its class.
        where: what messages call it, such as ``shape 3 (car)``.
        kind: one of :data:`KINDS`, or another word, which is a problem.
        points: (x, y) in pixels; corners; center and a point of a circle; first and last pixel of
            a mask in a box; center of an ellipse.
        mask: of a mask: a PNG in base64 in its box, or (H, W) run lengths :class:`Runs`.
        radii: (x, y) of an ellipse.
        angle: of an ellipse, in degrees, clockwise.
        problem: why it could not be read.
    """

    label: str
    where: str
    kind: str
    points: tuple[Point, ...] = ()
    mask: Any = None
    radii: Point = (0.0, 0.0)
    angle: float = 0.0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """A mask as lengths of runs of 0 and 1 in turn, row by row, within a box.

    Attributes:
        lengths: of the runs, the first one of 0.
        box: (left, top, width, height) in pixels.
    """

    lengths: tuple[int, ...]
    box: tuple[int, int, int, int]


def problem_of(shape: Shape, size: tuple[int, int]) -> str | None:
    """What is wrong with a shape on an image of (H, W) pixels, or None.

    The text begins with a verb: ``has a polygon of 2 points: three are needed``.
    """
    if shape.problem or not shape.label:
        return shape.problem or 'has no label'
    if shape.kind not in KINDS:
        return f'has the shape type {shape.kind!r}, which cannot be drawn'
    for value in (v for point in shape.points for v in point):
        if not isinstance(value, int | float) or isinstance(value, bool):
            return f'has the coordinate {value!r:.40}, which is no number'
        if not -FARTHEST <= value <= FARTHEST:
            return f'has a {shape.kind} with the coordinate {value!s:.40}'
    needed = KINDS[shape.kind]
    if len(shape.points) < needed:
        words = {3: 'three'}.get(needed, needed)
        verb = 'has a polygon' if shape.kind == 'polygon' else f'is a {shape.kind}'
        return f'{verb} of {len(shape.points)} points: {words} are needed'
    if not all(-FARTHEST <= value <= FARTHEST for value in (*shape.radii, shape.angle)):
        return f'has a {shape.kind} with a radius or angle that is no number'
    if shape.kind == 'mask':
        return _problem_of_mask(shape, size)
    # corners on a line are drawn as that line, as labelme does
    if shape.kind == 'polygon' and len(set(shape.points)) == 1:
        return 'has a polygon without area'
    if shape.kind == 'circle' and shape.points[0] == shape.points[1]:
        return 'has a circle without area'
    return _problem_of_place(shape, size)


def _problem_of_place(shape: Shape, size: tuple[int, int]) -> str | None:
    height, width = size
    left, top, right, bottom = _extent(shape)
    if right < 0 or bottom < 0 or left > width or top > height:
        return (
            f'has a {shape.kind} outside the image of {width}x{height} pixels (x '
            f'{left:g}..{right:g}, y {top:g}..{bottom:g}): were the coordinates made for another '
            'size?'
        )
    return None


def _extent(shape: Shape) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in shape.points], [y for _, y in shape.points]
    if shape.kind == 'circle':
        (x, y), radius = shape.points[0], math.dist(*shape.points[:2])
        return x - radius, y - radius, x + radius, y + radius
    reach = max(map(abs, shape.radii))
    return min(xs) - reach, min(ys) - reach, max(xs) + reach, max(ys) + reach


def _problem_of_mask(shape: Shape, size: tuple[int, int]) -> str | None:
    try:
        _mask_and_corner(shape, size)
    except DataError as error:
        return str(error)
    return None


def draw_shapes(
    shapes: Sequence[Shape],
    values: Mapping[str, int],
    size: tuple[int, int],
    *,
    where: str,
    uncovered: int = 0,
) -> np.ndarray:
    """Label map of shapes, (H, W) uint8.

    Args:
        shapes: in the order in which they are drawn.
        values: label -> value.
        size: (H, W) of the image.
        where: the annotation file, for messages.
        uncovered: value of pixels without a shape.

    Raises:
        DataError: a shape that cannot be drawn, or a label without value.
    """
    canvas = Image.new('L', (size[1], size[0]), uncovered)
    draw = ImageDraw.Draw(canvas)
    for shape in shapes:
        problem = problem_of(shape, size)
        if problem:
            raise DataError(f'{where}: {shape.where} {problem}; {_HINT}')
        if shape.label not in values:
            raise DataError(
                f'{where}: {shape.where} has an unknown label; the classes are {", ".join(values)}'
            )
        _draw(draw, shape, values[shape.label], size)
    return np.asarray(canvas)


def _draw(draw: ImageDraw.ImageDraw, shape: Shape, value: int, size: tuple[int, int]) -> None:
    """Draws a shape without problem."""
    kind, points = shape.kind, shape.points
    if kind == 'polygon':
        _draw_polygon(draw, points, value, size)
    elif kind == 'rectangle':
        draw.rectangle(_inside(_extent(shape), size), outline=value, fill=value)
    elif kind == 'circle':
        _draw_disc(draw, points[0], math.dist(*points[:2]), value, size)
    elif kind in ('line', 'linestrip'):
        for part in clip_line(points, size):
            draw.line(part, fill=value, width=_LINE_WIDTH)
    elif kind == 'mask':
        mask, corner = _mask_and_corner(shape, size)
        draw.bitmap(corner, Image.fromarray(mask.astype(np.uint8) * 255), fill=value)
    elif kind == 'ellipse':
        _draw_polygon(draw, _corners_of_ellipse(shape), value, size)
    else:
        for point in points:
            _draw_disc(draw, point, _POINT_RADIUS, value, size)


def _draw_polygon(
    draw: ImageDraw.ImageDraw, points: Sequence[Point], value: int, size: tuple[int, int]
) -> None:
    corners = clip_polygon(points, size)
    if len(corners) > 1:
        draw.polygon(corners, outline=value, fill=value)


def _inside(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """A box without what lies further outside the image than a pixel."""
    left, top, right, bottom = box
    height, width = size
    return max(left, -1), max(top, -1), min(right, width), min(bottom, height)


def _draw_disc(
    draw: ImageDraw.ImageDraw, center: Point, radius: float, value: int, size: tuple[int, int]
) -> None:
    (x, y), (height, width) = center, size
    box = (x - radius, y - radius, x + radius, y + radius)
    if radius <= 4 * max(size):
        draw.ellipse(box, outline=value, fill=value)
        return
    # Pillow takes time and memory for the whole circle; here only the image's pixels are tested
    distance = np.hypot(np.arange(width)[None] - x, np.arange(height)[:, None] - y)
    inside = (distance <= radius).astype(np.uint8) * 255
    draw.bitmap((0, 0), Image.fromarray(inside), fill=value)


def _corners_of_ellipse(shape: Shape) -> list[Point]:
    (x, y), (rx, ry), turn = shape.points[0], shape.radii, math.radians(shape.angle)
    corners = []
    for k in range(_ELLIPSE):
        angle = 2 * math.pi * k / _ELLIPSE
        along, across = rx * math.cos(angle), ry * math.sin(angle)
        corners.append(
            (
                x + along * math.cos(turn) - across * math.sin(turn),
                y + along * math.sin(turn) + across * math.cos(turn),
            )
        )
    return corners


def _mask_and_corner(shape: Shape, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels of a mask, (h, w) bool, and its left upper corner (x, y).

    Raises:
        DataError: the mask is damaged or does not fit; begins with a verb.
    """
    if isinstance(shape.mask, Runs):
        return _from_runs(shape.mask, size)
    if len(shape.points) < 2:
        raise DataError(f'is a mask of {len(shape.points)} points: 2 are needed')
    (x0, y0), (x1, y1) = [(int(x), int(y)) for x, y in shape.points[:2]]
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape.mask, validate=True))) as image:
            mask = np.asarray(image)
    except (TypeError, binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise DataError(f'has no "mask" that is a PNG in base64 ({error})') from error
    box = y1 - y0 + 1, x1 - x0 + 1
    if mask.shape != box:
        found = 'x'.join(str(length) for length in mask.shape[1::-1])
        raise DataError(f'has a mask of {found} pixels in a box of {box[1]}x{box[0]}')
    return mask != 0, (x0, y0)


def _from_runs(runs: Runs, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    left, top, width, height = runs.box
    if not (0 < width <= 2 * size[1] + 64 and 0 < height <= 2 * size[0] + 64):
        raise DataError(f'has a mask of {width}x{height} pixels on {size[1]}x{size[0]}')
    covered = sum(runs.lengths)
    if min(runs.lengths, default=0) < 0 or covered > width * height:
        raise DataError(f'has run lengths for {covered} of {width * height} pixels')
    values = np.zeros(width * height, bool)
    values[:covered] = np.repeat(np.arange(len(runs.lengths)) % 2 == 1, runs.lengths)
    return values.reshape(height, width), (left, top)


def turned_box(
    corner: Point, end: Point, angle: float, *, about: Point | None = None
) -> tuple[Point, ...]:
    """Corners of a box turned clockwise by an angle in degrees, about its center or a point."""
    (left, top), (right, bottom) = corner, end
    x0, y0 = ((left + right) / 2, (top + bottom) / 2) if about is None else about
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return steady(
        [
            (x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos)
            for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))
        ]
    )


def steady(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points that were computed from fractions or angles, to a hundredth of a pixel.

    10 / 48 with six digits is 9.99998 of 48 pixels; drawn as that, a shape is a row larger.
    """
    return tuple((round(x, 2), round(y, 2)) for x, y in points)
