"""Drawing the shapes of labelme: polygons, boxes, circles, lines, points and masks."""

import base64
import binascii
import io
import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from openseg_plugin.converters.datasets.core.masks import check_polygon
from openseg_plugin.errors import DataError

# Sizes in pixels at which labelme's own export draws lines and points.
_LINE_WIDTH, _POINT_RADIUS = 10, 5
# Number of points that a shape needs.
_POINTS = {'rectangle': 2, 'circle': 2, 'point': 1, 'line': 2, 'mask': 2}


def check_points(shape: dict[str, Any], *, size: tuple[int, int], where: str) -> None:
    """Makes sure that the points of a shape are enough, are numbers, and touch the picture.

    Args:
        shape: with ``points`` [[x, y], ...].
        size: (H, W) of the picture.
        where: file and shape, for messages.

    Raises:
        DataError: they are not.
    """
    kind, points = kind_of(shape), shape['points']
    flat = [value for point in points for value in point]
    wrong = [value for value in flat if not isinstance(value, int | float)]
    if wrong:
        raise DataError(f'{where} has the coordinate {wrong[0]!r:.40}, which is no number')
    if kind == 'polygon':
        check_polygon(flat, size=size, where=where)
        return
    needed = _POINTS.get(kind, 2)
    if len(points) < needed:
        raise DataError(f'{where} is a {kind} of {len(points)} points: {needed} are needed')
    # the same tests as for polygons, which need three points
    check_polygon([*flat, *flat, *flat], size=size, where=where)


def kind_of(shape: dict[str, Any]) -> str:
    """Its ``shape_type``; files of early versions hold polygons without one."""
    return shape.get('shape_type') or 'polygon'


def draw_shape(draw: ImageDraw.ImageDraw, shape: dict[str, Any], value: int, *, where: str) -> None:
    """Draws a shape with points that :func:`check_points` accepts.

    Args:
        draw: of the label map.
        shape: one entry of ``shapes``.
        value: the label.
        where: file and shape, for messages.

    Raises:
        DataError: a kind of shape that cannot be drawn, or a damaged mask.
    """
    kind, corners = kind_of(shape), [tuple(point) for point in shape['points']]
    if kind == 'polygon':
        draw.polygon(corners, outline=value, fill=value)
    elif kind == 'rectangle':
        (x0, y0), (x1, y1) = corners[:2]
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        draw.rectangle(box, outline=value, fill=value)
    elif kind == 'circle':
        (x, y), (edge_x, edge_y) = corners[:2]
        _draw_disc(draw, x, y, math.hypot(edge_x - x, edge_y - y), value)
    elif kind in ('line', 'linestrip'):
        draw.line(corners, fill=value, width=_LINE_WIDTH)
    elif kind == 'mask':
        _draw_mask(draw, shape.get('mask'), corners, value, where)
    elif kind == 'point':
        _draw_disc(draw, *corners[0], _POINT_RADIUS, value)
    else:
        raise DataError(f'{where} has the shape type {kind!r}, which cannot be drawn')


def _draw_disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, value: int) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=value, fill=value)


def _draw_mask(
    draw: ImageDraw.ImageDraw, packed: Any, corners: list[tuple], value: int, where: str
) -> None:
    """Pixels of a PNG in base64 that are not 0; the points are the first and last pixel."""
    (x0, y0), (x1, y1) = [(int(x), int(y)) for x, y in corners[:2]]
    try:
        with Image.open(io.BytesIO(base64.b64decode(packed, validate=True))) as picture:
            mask = np.asarray(picture)
    except (TypeError, binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise DataError(f'{where} has no "mask" that is a PNG in base64 ({error})') from error
    box = y1 - y0 + 1, x1 - x0 + 1
    if mask.shape != box:
        found = 'x'.join(str(length) for length in mask.shape[1::-1])
        raise DataError(f'{where} has a mask of {found} pixels in a box of {box[1]}x{box[0]}')
    draw.bitmap((x0, y0), Image.fromarray((mask != 0).astype(np.uint8) * 255), fill=value)
