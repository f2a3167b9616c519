"""Drawing Cityscapes labels from polygon files, as the release's own tools do.

Source: rules of cityscapesscripts 2.2 (json2labelImg, json2instanceImg). Objects are drawn in
file order, later over earlier, filled including their outline.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from openseg_plugin.datasets.classes.cityscapes import IGNORE, LABELS, Label
from openseg_plugin.errors import DataError

_BY_NAME = {label.name: label for label in LABELS}
_GROUP = 'group'
_PER_CLASS = 1000  # instance value = id * 1000 + running number


def draw_labels(path: Path, encoding: Literal['ids', 'trainids']) -> np.ndarray:
    """Label map of a polygon file: (H, W) uint8 label ids or train ids (255 = ignored).

    Raises:
        DataError: the file is not a polygon file or has an unknown label name.
    """
    content = read_polygons(path)
    background = 0 if encoding == 'ids' else IGNORE
    canvas = Image.new('L', _size(content), background)
    draw = ImageDraw.Draw(canvas)
    for label, _, points in _objects(content, path):
        _fill(draw, points, label.id if encoding == 'ids' else label.train_id)
    return np.asarray(canvas)


def draw_colours(path: Path) -> np.ndarray:
    """Colour map of a polygon file: (H, W, 4) uint8 RGBA, as the release's ``color`` files."""
    content = read_polygons(path)
    canvas = Image.new('RGBA', _size(content), (0, 0, 0, 255))
    draw = ImageDraw.Draw(canvas)
    for label, _, points in _objects(content, path):
        _fill(draw, points, label.colour)
    return np.asarray(canvas)


def draw_instances(path: Path) -> np.ndarray:
    """Instance map of a polygon file: (H, W) uint16.

    Single objects of a class with instances get id * 1000 + number in file order; groups of them
    and all other classes keep the id.

    Raises:
        DataError: as :func:`draw_labels`.
    """
    content = read_polygons(path)
    canvas = Image.new('I', _size(content), 0)
    draw = ImageDraw.Draw(canvas)
    numbers: Counter[int] = Counter()
    for label, is_group, points in _objects(content, path):
        value = label.id
        if label.has_instances and not is_group:
            value = label.id * _PER_CLASS + numbers[label.id]
            numbers[label.id] += 1
        _fill(draw, points, value)
    return np.asarray(canvas).astype(np.uint16)


def read_polygons(path: Path) -> dict[str, Any]:
    """Content of a polygon file.

    Raises:
        DataError: the file is missing, not JSON, or not a polygon file.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        height, width = content['imgHeight'], content['imgWidth']
        if not (isinstance(content['objects'], list) and height > 0 and width > 0):
            raise TypeError('imgHeight, imgWidth and objects have wrong values')
    except FileNotFoundError as error:
        raise DataError(f'polygon file {path} is missing') from error
    except KeyError as error:
        raise DataError(f'{path} is not a Cityscapes polygon file: it has no {error}') from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f'{path} is not a Cityscapes polygon file: {error}') from error
    return content


def _objects(
    content: dict[str, Any], path: Path
) -> Iterator[tuple[Label, bool, list[tuple[float, float]]]]:
    """(label, is a group, points) of every object that is drawn, in file order."""
    for number, item in enumerate(content['objects']):
        try:
            name, polygon, deleted = item['label'], item['polygon'], item.get('deleted', 0)
            if deleted:
                continue
            points = [(x, y) for x, y in polygon]
            if not np.isfinite(np.asarray(points, float)).all():
                raise ValueError('its polygon has a coordinate that is no number')
            is_group = name not in _BY_NAME and name.endswith(_GROUP)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f'{path}: object {number} has no label and polygon: {error}') from error
        label = _BY_NAME.get(name.removesuffix(_GROUP) if is_group else name)
        if label is None:
            raise DataError(f'{path}: object {number} has the unknown label {name!r}')
        if not points:
            raise DataError(f'{path}: object {number} ({name}) has a polygon without points')
        if label.id >= 0:
            yield label, is_group, points


def _fill(
    draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], value: int | tuple[int, ...]
) -> None:
    if len(points) == 1:
        draw.point(points, fill=value)
    else:
        draw.polygon(points, fill=value)


def _size(content: dict[str, Any]) -> tuple[int, int]:
    return content['imgWidth'], content['imgHeight']
