"""Polygons drawn with labelme: one JSON file per image.

Shapes are drawn in file order, later over earlier, filled including their outline; class numbers
follow the list of class names, 0 is the background. A shape called ``__ignore__`` becomes 255.

Drawing the shapes of labelme: polygons, boxes, circles, lines, points and masks.
"""

import base64
import binascii
import contextlib
import io
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from openseg_plugin.converters.datasets.core.annotation_files import read_json
from openseg_plugin.converters.datasets.core.find import IMAGES, walk_files
from openseg_plugin.converters.datasets.core.images import image_size
from openseg_plugin.converters.datasets.core.masks import check_polygon
from openseg_plugin.converters.datasets.core.pairs import (
    BACKGROUND,
    IGNORE,
    SPLITS,
    VAL_EVERY,
    distinct_colours,
    find_image,
    image_name,
    index_images,
    note_named_splits,
    read_class_names,
    split_in_folders,
    split_names,
)
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    in_split,
)
from openseg_plugin.converters.datasets.core.registry import converter, option
from openseg_plugin.errors import DataError

# Sizes in pixels at which labelme's own export draws lines and points.
_LINE_WIDTH, _POINT_RADIUS = 10, 5
# Number of points that a shape needs.
_POINTS = {'rectangle': 2, 'circle': 2, 'point': 1, 'line': 2, 'mask': 2}


def check_points(shape: dict[str, Any], *, size: tuple[int, int], where: str) -> None:
    """Makes sure that the points of a shape are enough, are numbers, and touch the image.

    Args:
        shape: with ``points`` [[x, y], ...].
        size: (H, W) of the image.
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
        with Image.open(io.BytesIO(base64.b64decode(packed, validate=True))) as image:
            mask = np.asarray(image)
    except (TypeError, binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise DataError(f'{where} has no "mask" that is a PNG in base64 ({error})') from error
    box = y1 - y0 + 1, x1 - x0 + 1
    if mask.shape != box:
        found = 'x'.join(str(length) for length in mask.shape[1::-1])
        raise DataError(f'{where} has a mask of {found} pixels in a box of {box[1]}x{box[0]}')
    draw.bitmap((x0, y0), Image.fromarray((mask != 0).astype(np.uint8) * 255), fill=value)


_NAMES = 'class_names.txt'


@dataclass(frozen=True)
class LabelmeOptions:
    """Options of the labelme converter."""

    class_names: str = option(
        '', f'file with one class per line (default: {_NAMES} in SRC, else the labels found)'
    )
    val_every: int = option(0, VAL_EVERY)


def draw_shapes(path: Path, names: tuple[str, ...], size: tuple[int, int]) -> np.ndarray:
    """Label map of a labelme file: (H, W) uint8, 255 where ignored.

    Args:
        path: the JSON file.
        names: class names, index = label.
        size: (H, W) of the image.

    Raises:
        DataError: the file is damaged, was drawn on another size, has an unknown label, or a shape
            with too few points or outside the image.
    """
    content = read_json(path, 'shapes')
    drawn = content.get('imageHeight') or size[0], content.get('imageWidth') or size[1]
    if drawn != tuple(size):
        raise DataError(
            f'{path} was drawn on {drawn[1]}x{drawn[0]} pixels but its image is '
            f'{size[1]}x{size[0]}: if the camera turned it, save the image upright'
        )
    numbers = {name: number for number, name in enumerate(names)} | {IGNORE: 255}
    canvas = Image.new('L', (size[1], size[0]), 0)
    draw = ImageDraw.Draw(canvas)
    for position, shape in enumerate(_shapes(content, path)):
        where = f'{path}: shape {position} ({shape["label"]})'
        if shape['label'] not in numbers:
            raise DataError(f'{where} has an unknown label; the classes are {", ".join(names)}')
        check_points(shape, size=size, where=where)
        draw_shape(draw, shape, numbers[shape['label']], where=where)
    return np.asarray(canvas)


@converter('labelme', LabelmeOptions, splits=SPLITS, default_splits=())
def plan(src: Path, *, options: LabelmeOptions, splits: tuple[str, ...]) -> Plan:
    """Your own polygons, drawn with labelme: one JSON file beside each image."""
    index = index_images(src)
    files, notices = _annotation_files(src, index)
    names = _class_names(src, files, options)
    stems = [path.stem for path in files]
    split_of = split_names(sorted(stems), options.val_every)
    named = {path: split_in_folders(path, src) for path in files}
    samples = []
    for path in files:
        split = named[path] or split_of[path.stem]
        if not splits or split in splits:
            samples.append(_sample(path, split, names, src, index))
    labelled = {place.src for sample in samples for place in sample.places}
    labelled |= {path.with_suffix(ending) for path in files for ending in IMAGES}
    left = sorted(p for found in index.values() for p in found if p not in labelled)
    if left and not splits:
        notices.append(f'{len(left)} images have no .json file and were left out, first {left[0]}')
    notices += note_named_splits(named, options.val_every)
    return Plan(samples, names, distinct_colours(len(names)), notices=tuple(notices))


def _annotation_files(src: Path, index: dict[str, list[Path]]) -> tuple[list[Path], list[str]]:
    """JSON files of labelme, and a notice about those of other programs.

    Raises:
        DataError: there are none.
    """
    images = {Path(name).stem for name in index}
    files, others = [], []
    for path in walk_files(src, ('.json',)):
        foreign = path.stem.lower() not in images and _has_no_shapes(path)
        (others if foreign else files).append(path)
    if not files:
        raise DataError(f'{src} has no .json files of labelme')
    if not others:
        return files, []
    text = 'have no shapes and belong to no image: left out, the first is'
    return files, [f'{len(others)} .json files {text} {others[0]}']


def _has_no_shapes(path: Path) -> bool:
    try:
        content = read_json(path)
    except DataError:  # said by its sample
        return False
    return not isinstance(content, dict) or 'shapes' not in content


def _sample(
    path: Path, split: str, names: tuple[str, ...], src: Path, index: dict[str, list[Path]]
) -> Sample:
    try:
        content = read_json(path, 'shapes')
        written = content.get('imagePath') or ''
        image = find_image(str(written), near=path.parent, root=src, index=index)
        if image is None:
            endings = (path.with_suffix(ending) for ending in IMAGES)
            image = next((p for p in endings if p.is_file()), None)
        if image is None:
            raise DataError(f'{path}: its image {written or path.stem} is missing')
        size = image_size(image)
    except DataError as error:
        return Sample(split, path.name, problem=str(error))
    places = (CopyTask(image, in_split(split, 'image', image_name(image, path.stem))),)
    make = partial(draw_shapes, path, names, size)
    draws = (RenderTask(in_split(split, 'label', f'{path.stem}.png'), make),)
    return Sample(split, path.name, (path,), places, draws)


def _class_names(src: Path, files: list[Path], options: LabelmeOptions) -> tuple[str, ...]:
    """Class names of the file, or all labels that occur, sorted."""
    given = Path(options.class_names) if options.class_names else src / _NAMES
    if options.class_names or given.is_file():
        return read_class_names(given)
    found = set()
    for path in files:
        # What is wrong with a file is said by its sample, so that the others are converted.
        with contextlib.suppress(DataError):
            found |= {str(shape['label']) for shape in _shapes(read_json(path, 'shapes'), path)}
    return (BACKGROUND, *sorted(found - {BACKGROUND, IGNORE}))


def _shapes(content: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    shapes = content['shapes']
    if not isinstance(shapes, list):
        raise DataError(f'{path} is not a labelme file: its shapes are no list')
    for position, shape in enumerate(shapes):
        if not isinstance(shape, dict) or not isinstance(shape.get('label'), str):
            raise DataError(f'{path}: shape {position} has no label')
        points = shape.get('points')
        pairs = isinstance(points, list) and all(isinstance(p, list | tuple) for p in points)
        if not pairs or any(len(point) != 2 for point in points):
            raise DataError(
                f'{path}: shape {position} ({shape["label"]}) has no points [[x, y], ...]'
            )
    return shapes
