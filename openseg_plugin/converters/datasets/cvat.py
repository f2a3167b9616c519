"""Shapes in the XML of CVAT ("CVAT for images 1.1").

Polygons, boxes, ellipses, lines, points and masks, drawn by ``z_order`` and then in file order. The
classes are those of the task, or the labels that occur; an image's ``subset`` is its split.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openseg_plugin.converters.datasets.core.annotated import (
    Annotated,
    ShapeOptions,
    plan_annotated,
)
from openseg_plugin.converters.datasets.core.find import read_text, walk_files
from openseg_plugin.converters.datasets.core.pairs import (
    find_image,
    index_images,
    split_in_folders,
)
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED, Plan, converter
from openseg_plugin.converters.datasets.core.shapes import Runs, Shape, turned_box
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import SPLITS, split_of_word

_LINES = {'polygon': 'polygon', 'polyline': 'linestrip', 'points': 'points'}


@dataclass(frozen=True)
class CVATOptions(ShapeOptions):
    """Options of the converter for CVAT's XML."""


@converter('cvat', CVATOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: CVATOptions, splits: tuple[str, ...]) -> Plan:
    """Your own shapes, drawn with CVAT: annotations.xml and the images."""
    root = src if src.is_dir() else src.parent
    files = [src] if src.is_file() else walk_files(src, ('.xml',))
    if not files:
        raise DataError(f'{src} has no .xml file of CVAT')
    index = index_images(root)
    images: list[Annotated] = []
    listed: dict[str, None] = {}
    for path in files:
        tree = _read(path)
        labels = tree.findall('./meta//labels/label/name')
        listed |= dict.fromkeys((name.text or '').strip() for name in labels)
        images += [_annotated(item, path, root, index) for item in tree.findall('image')]
    if not images:
        raise DataError(f'{files[0]} lists no images')
    images.sort(key=lambda image: image.name)
    return plan_annotated(images, src, options, listed=[x for x in listed if x], read=files)


def _read(path: Path) -> ElementTree.Element:
    """The XML of an annotation file.

    Raises:
        DataError: it is not CVAT's for images, or declares entities.
    """
    text = read_text(path)
    if '<!DOCTYPE' in text or '<!ENTITY' in text:
        raise DataError(f'{path} declares a document type, which CVAT does not: it was refused')
    try:
        # the text is decoded; what its first line says about encoding holds no more
        tree = ElementTree.fromstring(text.partition('?>')[2] if '?>' in text[:200] else text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise DataError(f'{path} is not valid XML: {error}') from error
    if tree.tag != 'annotations':
        raise DataError(f'{path} holds <{tree.tag}>, not the <annotations> of CVAT')
    if tree.find('track') is not None:
        raise DataError(
            f'{path} holds tracks of a video: export it from CVAT as "CVAT for images 1.1"'
        )
    return tree


def _annotated(
    item: ElementTree.Element, path: Path, root: Path, index: Mapping[str, list[Path]]
) -> Annotated:
    name = item.get('name') or ''
    split = split_of_word(item.get('subset') or '') or split_in_folders(root / name, root)
    split = split or UNDIVIDED
    try:
        size = int(item.get('height') or 0), int(item.get('width') or 0)
        image = find_image(name, near=path.parent, root=root, index=index, split=split)
        if image is None:
            raise DataError(f'{path}: image {name or item.get("id")} is missing')
    except (DataError, ValueError) as error:
        return Annotated(name, path, split=split, problem=f'{error}')
    drawn = [x for x in item if x.get('label') is not None and x.tag != 'tag']
    numbered = [_shape(element, k, name) for k, element in enumerate(drawn)]
    order = sorted(range(len(drawn)), key=lambda k: _order(drawn[k]))
    below = image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name
    return Annotated(below, path, image, tuple(numbered[k] for k in order), split, size)


def _order(element: ElementTree.Element) -> int:
    try:
        return int(element.get('z_order') or 0)
    except ValueError:
        return 0


def _shape(element: ElementTree.Element, position: int, image: str) -> Shape:
    label, kind = (element.get('label') or '').strip(), element.tag
    where = f'image {image}, {kind} {position} ({label})'

    def number(key: str) -> float:
        return float(element.get(key) or 0)

    try:
        if kind in _LINES:
            texts = [pair.split(',') for pair in (element.get('points') or '').split(';') if pair]
            points = tuple((float(x), float(y)) for x, y in texts)
            return Shape(label, where, _LINES[kind], points)
        if kind == 'box':
            corners = (number('xtl'), number('ytl')), (number('xbr'), number('ybr'))
            if number('rotation'):
                return Shape(label, where, 'polygon', turned_box(*corners, number('rotation')))
            return Shape(label, where, 'rectangle', corners)
        if kind == 'ellipse':
            center, radii = (number('cx'), number('cy')), (number('rx'), number('ry'))
            turn = number('rotation')
            return Shape(label, where, 'ellipse', (center,), radii=radii, angle=turn)
        if kind == 'mask':
            lengths = tuple(int(word) for word in (element.get('rle') or '').split(','))
            left, top, width, height = (
                int(number(key)) for key in ('left', 'top', 'width', 'height')
            )
            return Shape(label, where, 'mask', mask=Runs(lengths, (left, top, width, height)))
    except (ValueError, OverflowError) as error:
        return Shape(label, where, kind, problem=f'cannot be read ({error})')
    return Shape(label, where, kind)
