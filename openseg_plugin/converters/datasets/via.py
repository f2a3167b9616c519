"""Regions in the JSON of the VGG Image Annotator (VIA), versions 1 and 2, projects included.

The class is one of a region's attributes: the only one, or the one that ``--attribute`` names.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openseg_plugin.converters.datasets.core.annotated import (
    Annotated,
    ShapeOptions,
    plan_annotated,
)
from openseg_plugin.converters.datasets.core.find import read_json, walk_files
from openseg_plugin.converters.datasets.core.pairs import (
    find_image,
    index_images,
    split_in_folders,
    split_in_name,
)
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED, Plan, converter, option
from openseg_plugin.converters.datasets.core.shapes import Shape
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils.files import SPLITS

_PROJECT = '_via_img_metadata'
_USUAL = ('name', 'class', 'label', 'type', 'category')
_LINES = {'polygon': 'polygon', 'polyline': 'linestrip'}


@dataclass(frozen=True)
class VIAOptions(ShapeOptions):
    """Options of the converter for VIA."""

    attribute: str = option('', 'attribute of the regions that is the class (default: found)')


@converter('via', VIAOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: VIAOptions, splits: tuple[str, ...]) -> Plan:
    """Your own regions, drawn with the VGG Image Annotator: a JSON file and the images."""
    root = src if src.is_dir() else src.parent
    files = [src] if src.is_file() else walk_files(src, ('.json',))
    if not files:
        is_csv = src.is_dir() and any(walk_files(src, ('.csv',)))
        hint = ': export the annotations as JSON, not as CSV' if is_csv else ''
        raise DataError(f'{src} has no .json file of VIA{hint}')
    index = index_images(root)
    entries = {path: _read(path) for path in files}
    attribute = _attribute(entries, options)
    images = [
        _annotated(entry, path, root, index, attribute)
        for path, found in entries.items()
        for entry in found
    ]
    if not images:
        raise DataError(f'{files[0]} lists no images')
    images.sort(key=lambda image: image.name)
    return plan_annotated(images, src, options, read=files)


def _read(path: Path) -> list[dict[str, Any]]:
    """Entries of the images of a file.

    Raises:
        DataError: it is not VIA's.
    """
    content = read_json(path)
    if isinstance(content, dict):
        content = content.get(_PROJECT, content)
    found = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(found, list) or not all(
        isinstance(entry, dict) and 'filename' in entry and 'regions' in entry for entry in found
    ):
        raise DataError(f'{path} is no file of VIA: an entry has no filename and regions')
    return found


def _regions(entry: dict[str, Any]) -> list[Any]:
    """Regions of an image: a list, or in version 1 an object."""
    regions = entry['regions']
    if isinstance(regions, dict):
        return list(regions.values())
    return regions if isinstance(regions, list) else []


def _attributes(region: Any) -> dict[str, Any]:
    found = region.get('region_attributes') if isinstance(region, dict) else None
    return found if isinstance(found, dict) else {}


def _attribute(entries: Mapping[Path, list[dict[str, Any]]], options: VIAOptions) -> str:
    """The attribute that says the class.

    Raises:
        ConfigError: no region has the one that the user names, or it is not clear which one it is.
    """
    regions = [r for found in entries.values() for entry in found for r in _regions(entry)]
    counts = Counter(key for region in regions for key in _attributes(region))
    if options.attribute:
        if options.attribute not in counts:
            raise ConfigError(
                f'--attribute {options.attribute}: the regions have {", ".join(counts) or "none"}'
            )
        return options.attribute
    usual = [name for name in _USUAL for key in counts if key.lower() == name]
    if len(counts) > 1 and len(usual) != 1:
        raise ConfigError(
            f'the regions have the attributes {", ".join(counts)}: say which one is the class '
            'with --attribute'
        )
    if len(counts) > 1:
        return next(key for key in counts if key.lower() == usual[0])
    return next(iter(counts), 'name')


def _annotated(
    entry: dict[str, Any],
    path: Path,
    root: Path,
    index: Mapping[str, list[Path]],
    attribute: str,
) -> Annotated:
    name = str(entry['filename'])
    split = split_in_folders(path, root) or split_in_name(path) or UNDIVIDED
    try:
        image = find_image(name, near=path.parent, root=root, index=index, split=split)
        if image is None:
            raise DataError(f'{path}: image {name} is missing')
    except DataError as error:
        return Annotated(name, path, split=split, problem=str(error))
    shapes = tuple(
        _shape(region, f'{name}, region {k}', attribute) for k, region in enumerate(_regions(entry))
    )
    below = image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name
    return Annotated(below, path, image, shapes, split)


def _class_of(region: Any, attribute: str) -> str:
    """The value of the attribute; of check boxes those that are ticked."""
    value = _attributes(region).get(attribute)
    if isinstance(value, dict):
        value = ', '.join(str(key) for key, ticked in value.items() if ticked)
    return '' if value is None else str(value).strip()


def _is_ambiguous(region: Any, attribute: str) -> bool:
    """Whether several check boxes are ticked."""
    value = _attributes(region).get(attribute)
    return isinstance(value, dict) and sum(map(bool, value.values())) > 1


def _shape(region: Any, where: str, attribute: str) -> Shape:
    label = _class_of(region, attribute)
    if not label:
        return Shape('', where, 'polygon', problem=f'has no attribute {attribute}')
    where = f'{where} ({label})'
    if _is_ambiguous(region, attribute):
        text = f'has several values of {attribute}: a pixel has one'
        return Shape('', where, 'polygon', problem=text)
    try:
        given = region['shape_attributes']
        kind = given['name']
        if kind in _LINES:
            xs, ys = given['all_points_x'], given['all_points_y']
            if len(xs) != len(ys):
                text = f'has {len(xs)} x and {len(ys)} y'
                return Shape(label, where, 'polygon', problem=text)
            points = tuple(zip(xs, ys, strict=True))
            return Shape(label, where, _LINES[kind], points)
        if kind == 'rect':
            x, y, width, height = (float(given[key]) for key in ('x', 'y', 'width', 'height'))
            return Shape(label, where, 'rectangle', ((x, y), (x + width, y + height)))
        if kind == 'point':
            return Shape(label, where, 'point', ((float(given['cx']), float(given['cy'])),))
        if kind in ('circle', 'ellipse'):
            x, y = float(given['cx']), float(given['cy'])
            if kind == 'circle':
                return Shape(label, where, 'circle', ((x, y), (x + float(given['r']), y)))
            radii = float(given['rx']), float(given['ry'])
            # in radians, unlike everywhere else
            turn = float(given.get('theta') or 0) * 180 / 3.141592653589793
            return Shape(label, where, 'ellipse', ((x, y),), radii=radii, angle=turn)
    except (KeyError, TypeError, ValueError) as error:
        text = f'has no shape_attributes that can be read ({type(error).__name__}: {error})'
        return Shape(label, where, 'polygon', problem=text)
    return Shape(label, where, str(kind))
