"""One JSON file with the polygons of many images, as in the power-line fork of HRNet-OCR.

``{"items": [{"uris": ["<folder>/<name>.jpeg", ...], "results": {"polys": [{"poly": [[x, y], ...]},
...]}}, ...]}``: x and y are fractions of width and height. One class; later polygons lie over
earlier ones. Items without results are left out; every 8th of the others is for validation.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from openseg_plugin.converters.datasets.core.find import read_json, walk_files
from openseg_plugin.converters.datasets.core.images import image_size
from openseg_plugin.converters.datasets.core.pairs import (
    VAL_FRACTION,
    class_palette,
    find_image,
    image_name,
    index_images,
)
from openseg_plugin.converters.datasets.core.plan import (
    UNDIVIDED,
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    converter,
    in_split,
    option,
)
from openseg_plugin.errors import DataError


@dataclass(frozen=True)
class PolygonListOptions:
    """Options of the converter for polygon lists."""

    val_fraction: float = option(0.125, VAL_FRACTION)
    foreground: str = option('foreground', 'name of the class of the polygons')


def draw_fractions(
    polygons: tuple[tuple[tuple[float, float], ...], ...], size: tuple[int, int]
) -> np.ndarray:
    """Label map of polygons: (H, W) uint8, 0 or 1.

    Args:
        polygons: (x, y) as fractions of width and height; limited to 0..1.
        size: (H, W) in pixels.
    """
    height, width = size
    canvas = Image.new('L', (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        corners = [(min(max(x, 0), 1) * width, min(max(y, 0), 1) * height) for x, y in polygon]
        draw.polygon(corners, fill=1)
    return np.asarray(canvas)


@converter('polygon_list', PolygonListOptions, splits=('train', 'val'), own=True)
def plan(src: Path, *, options: PolygonListOptions, splits: tuple[str, ...]) -> Plan:
    """Your own polygons in one JSON list for many images (power-line fork); two classes."""
    root = src if src.is_dir() else src.parent
    files = [src] if src.is_file() else walk_files(src, ('.json',))
    if len(files) != 1:
        raise DataError(f'{src} has {len(files)} .json files: give the right one as SRC')
    path = files[0]
    items = read_json(path, 'items')['items']
    if not isinstance(items, list):
        raise DataError(f'{path}: its items are no list')
    index = index_images(root)
    filled = {
        str(number): item
        for number, item in enumerate(items)
        if not isinstance(item, dict) or item.get('results')
    }
    samples = [_sample(item, number, path, root, index) for number, item in filled.items()]
    notices: tuple[str, ...] = ()
    if len(filled) < len(items):
        notices = (f'{len(items) - len(filled)} items have no polygons and were left out',)
    names = ('background', options.foreground)
    return Plan(samples, names, class_palette(2), notices=notices, read=[path])


def _sample(
    item: Any,
    number: str,
    path: Path,
    root: Path,
    index: dict[str, list[Path]],
) -> Sample:
    name = f'item {number}'
    try:
        name = str(item['uris'][0])
        drawn = item['results']['polys']
        if not isinstance(drawn, list):
            raise TypeError
        image = find_image(name, near=path.parent, root=root, index=index)
        if image is None:
            raise DataError(f'{path}: image {name} is missing')
        polygons = tuple(_polygon(p, f'{path}: {name}') for p in drawn)
        size = image_size(image)
    except DataError as error:
        return Sample(UNDIVIDED, name, problem=str(error))
    except (KeyError, TypeError, IndexError):
        problem = f'{path}: item {number} has no "uris": [NAME] and "results": {{"polys": [...]}}'
        return Sample(UNDIVIDED, name, problem=problem)
    placed = (CopyTask(image, in_split(UNDIVIDED, 'image', image_name(image, image.stem))),)
    make = partial(draw_fractions, polygons, size)
    draws = (RenderTask(in_split(UNDIVIDED, 'label', f'{image.stem}.png'), make),)
    return Sample(UNDIVIDED, image.name, (path,), placed, draws)


def _polygon(item: dict[str, Any], where: str) -> tuple[tuple[float, float], ...]:
    try:
        points = tuple((float(x), float(y)) for x, y in item['poly'])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f'{where} has a polygon without points "poly": {error}') from error
    if len(points) < 3:
        raise DataError(f'{where} has a polygon of {len(points)} points: three are needed')
    xs, ys = zip(*points)
    if not all(map(math.isfinite, (*xs, *ys))):
        raise DataError(f'{where} has a coordinate that is no number')
    if max(*xs, *ys) > 1.5 or min(*xs, *ys) < -0.5:
        raise DataError(f'{where} has coordinates in pixels: fractions 0..1 are needed')
    if max(xs) < 0 or max(ys) < 0 or min(xs) > 1 or min(ys) > 1:
        raise DataError(f'{where} has a polygon outside the image')
    return points
