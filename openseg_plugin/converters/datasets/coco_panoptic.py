"""COCO panoptic segmentation (Kirillov et al., 2019): one PNG of segment ids per image.

Raw: ``panoptic_train2017.json`` beside the folder ``panoptic_train2017/`` of PNG files, in which a
segment's id is R + 256 G + 256^2 B, and the images. Classes are numbered from 0 in the order of
``categories``, things and stuff together; what belongs to no segment is 255.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.core.find import (
    called,
    is_there,
    lack,
    read_json,
    records,
    walk_files,
)
from openseg_plugin.converters.datasets.core.images import read_image
from openseg_plugin.converters.datasets.core.pairs import (
    VAL_FRACTION,
    class_palette,
    find_image,
    image_name,
    index_images,
    note_named_splits,
    split_in_folders,
    split_in_name,
)
from openseg_plugin.converters.datasets.core.plan import (
    UNDIVIDED,
    CopyTask,
    Palette,
    Plan,
    RenderTask,
    Sample,
    converter,
    in_split,
    option,
)
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import SPLITS

_IGNORE = 255
_KEYS = ('images', 'annotations', 'categories')


@dataclass(frozen=True)
class PanopticOptions:
    """Options of the converter for COCO panoptic."""

    val_fraction: float = option(0.0, VAL_FRACTION + '; not for files whose name says it')


@converter('coco_panoptic', PanopticOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: PanopticOptions, splits: tuple[str, ...]) -> Plan:
    """COCO panoptic: things and stuff as classes of one map, from panoptic_*.json and its PNGs."""
    root = src if src.is_dir() else src.parent
    paths = [src] if src.is_file() else walk_files(src, ('.json',))
    paths = [path for path in paths if path.stem.startswith('panoptic')] or paths
    if not paths:
        raise DataError(f'{src} has no .json file such as panoptic_train2017.json')
    index = index_images(root)
    named = {path: split_in_name(path) or split_in_folders(path, root) for path in paths}
    samples: list[Sample] = []
    names: tuple[str, ...] = ()
    palette: Palette = ()
    for path in paths:
        content = read_json(path, *_KEYS)
        found, values, colors = _categories(content, path)
        if names and found != names:
            differing = sorted(set(found) ^ set(names)) or ['their order']
            raise DataError(f'{paths[0]} and {path} differ in categories: {differing[0]}')
        names, palette = found, colors
        split = named[path] or UNDIVIDED
        samples += _samples(content, path, values, root, index, split)
    notices = note_named_splits(named, options.val_fraction)
    return Plan(samples, names, palette, notices=notices, read=paths)


def _categories(
    content: dict[str, Any], path: Path
) -> tuple[tuple[str, ...], dict[Any, int], Palette]:
    """Class names, category id -> label value, and colors."""
    items = records(content, 'categories', path)
    try:
        values = {item['id']: value for value, item in enumerate(items)}
        names = tuple(str(item['name']).strip() for item in items)
        colors = [item.get('color') for item in items]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f'{path}: its categories have no id and name') from error
    if not 0 < len(values) == len(names) < _IGNORE:
        raise DataError(f'{path} has {len(names)} categories: 1..{_IGNORE - 1} are possible')
    palette = class_palette(len(names))
    if all(isinstance(c, list) and len(c) == 3 and all(type(v) is int for v in c) for c in colors):
        palette = tuple(tuple(color) for color in colors)
    return names, values, palette


def _samples(
    content: dict[str, Any],
    path: Path,
    values: Mapping[Any, int],
    root: Path,
    index: Mapping[str, list[Path]],
    split: str,
) -> list[Sample]:
    written = {
        item['id']: str(item['file_name'])
        for item in records(content, 'images', path)
        if not lack(item, 'id', 'file_name') and isinstance(item['id'], int | str)
    }
    samples = []
    for position, item in enumerate(records(content, 'annotations', path)):
        what = called('annotation', item, position)
        try:
            wrong = lack(item, 'image_id', 'file_name', 'segments_info')
            if not wrong and item['image_id'] not in written:
                wrong = f'belongs to image {item["image_id"]}, which is not listed'
            if wrong:
                raise DataError(f'{path}: {what} {wrong}')
            samples.append(
                _sample(item, written[item['image_id']], path, values, root, index, split)
            )
        except (DataError, TypeError) as error:
            samples.append(Sample(split, what, problem=str(error)))
    return sorted(samples, key=lambda sample: sample.name)


def _sample(
    item: dict[str, Any],
    name: str,
    path: Path,
    values: Mapping[Any, int],
    root: Path,
    index: Mapping[str, list[Path]],
    split: str,
) -> Sample:
    image = find_image(
        name, near=path.parent, root=root, index=_not_below(index, path), split=split
    )
    if image is None:
        raise DataError(f'{path}: image {name} is missing')
    folder = path.with_suffix('')
    label = folder / str(item['file_name'])
    if '..' in label.parts or not is_there(label):
        found = find_image(str(item['file_name']), near=folder, root=root, index=index)
        if found is None or found == image:
            raise DataError(f'{path}: its map {item["file_name"]} is missing in {folder}')
        label = found
    table = {}
    for segment in item['segments_info']:
        if lack(segment, 'id', 'category_id') or segment['category_id'] not in values:
            raise DataError(f'{path}: {name} has a segment {segment!r:.60} without known category')
        table[segment['id']] = values[segment['category_id']]
    stem = image.stem
    places = (CopyTask(image, in_split(split, 'image', image_name(image, stem))),)
    make = partial(read_panoptic, label, tuple(table.items()))
    draws = (RenderTask(in_split(split, 'label', f'{stem}.png'), make),)
    return Sample(split, name, (path, label), places, draws)


def _not_below(index: Mapping[str, list[Path]], path: Path) -> dict[str, list[Path]]:
    """The index without the PNG files of segments."""
    folder = path.with_suffix('')
    return {k: [p for p in v if not p.is_relative_to(folder)] for k, v in index.items()}


def read_panoptic(path: Path, segments: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Classes of a PNG of segments: (H, W) uint8, 255 where there is no segment.

    Args:
        path: the PNG.
        segments: (segment id, label value) of each segment.

    Raises:
        DataError: the file is no color image or has a segment that is not listed.
    """
    pixels = read_image(path)
    if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        raise DataError(f'{path} is no color image with 8 bits, as maps of segments are')
    wide = pixels.astype(np.int64)
    numbers = wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2]
    found, place = np.unique(numbers, return_inverse=True)
    known = {0: _IGNORE, **dict(segments)}
    unknown = [number for number in found.tolist() if number not in known]
    if unknown:
        raise DataError(f'{path} has segment {unknown[0]}, which its annotation does not list')
    table = np.array([known[number] for number in found.tolist()], np.uint8)
    return table[place.reshape(numbers.shape)]
