"""Your own annotations in COCO's format: polygons and run lengths.

COCO defines no semantic map; here the parts of one annotation are united, later annotations lie
over earlier ones, classes are numbered in the order of ``categories`` from 1, and 0 is the
background. Drawn by pycocotools.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from openseg_plugin.converters.datasets.core.annotation_files import (
    called,
    lack,
    lack_of_number,
    read_json,
    records,
)
from openseg_plugin.converters.datasets.core.find import walk_files
from openseg_plugin.converters.datasets.core.masks import decode_rle, draw_polygons
from openseg_plugin.converters.datasets.core.pairs import (
    BACKGROUND,
    SPLITS,
    VAL_EVERY,
    distinct_colours,
    find_image,
    image_name,
    index_images,
    note_named_splits,
    split_in_folders,
    split_in_name,
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

_IGNORE = 255
_KEYS = ('images', 'annotations', 'categories')
_IMAGE_KEYS = ('id', 'file_name', 'height', 'width')


@dataclass(frozen=True)
class COCOOptions:
    """Options of the COCO converter."""

    annotations: tuple[Path, ...] = option(
        (), 'annotation files (default: all in SRC); their name or folder says the split, if any'
    )
    crowd: Literal['class', 'ignore'] = option(
        'class', 'crowds are their class, or ignored (255) where nothing else is'
    )
    val_every: int = option(0, VAL_EVERY + '; not for files whose name or folder says it')


@dataclass(frozen=True)
class _Annotation:
    """One object of an image: its class and its polygons or run lengths."""

    id: Any
    value: int
    shape: Any
    is_crowd: bool


def draw_annotations(
    path: Path,
    size: tuple[int, int],
    annotations: tuple[_Annotation, ...],
    crowd: Literal['class', 'ignore'],
) -> np.ndarray:
    """Label map of an image: (H, W) uint8.

    Args:
        path: the annotation file, for messages.
        size: (H, W).
        annotations: in file order.
        crowd: what a crowd becomes.

    Raises:
        DataError: a polygon or run lengths that cannot be drawn; names the annotation.
    """
    label = np.zeros(size, np.uint8)
    for item in annotations:
        what = f'annotation {item.id}'
        if isinstance(item.shape, list):
            mask = draw_polygons(item.shape, size=size, path=path, what=what)
        else:
            mask = decode_rle(item.shape, size=size, path=path, what=what)
        if item.is_crowd and crowd == 'ignore':
            label[mask & (label == 0)] = _IGNORE
        else:
            label[mask] = item.value
    return label


@converter('coco_polygons', COCOOptions, splits=SPLITS, default_splits=())
def plan(src: Path, *, options: COCOOptions, splits: tuple[str, ...]) -> Plan:
    """Your own annotations in COCO's JSON format: polygons and run lengths."""
    root = src if src.is_dir() else src.parent
    files = list(options.annotations) or _find_annotations(src)
    base = src if src.is_dir() else root.parent
    named = {path: split_in_name(path) or split_in_folders(path, base) for path in files}
    index = index_images(root)
    samples: list[Sample] = []
    names: tuple[str, ...] | None = None
    for path in files:
        try:
            content = read_json(path, *_KEYS)
            found, values = _categories(content, path)
        except DataError as error:  # the other files can be converted all the same
            samples.append(Sample(named[path] or 'train', path.name, problem=str(error)))
            continue
        if names is not None and found != names:
            raise DataError(f'{path} and {files[0]} have different categories')
        names = found
        samples += _samples(content, path, values, root, index, options, named[path])
    if names is None:
        raise DataError(samples[0].problem)
    if splits:
        samples = [sample for sample in samples if sample.split in splits]
    notices = note_named_splits(named, options.val_every)
    return Plan(samples, names, distinct_colours(len(names)), notices=notices)


def _find_annotations(src: Path) -> list[Path]:
    """Annotation files below a folder; of a COCO download only the instances."""
    if src.is_file():
        return [src]
    files = walk_files(src, ('.json',))
    instances = [path for path in files if path.name.startswith('instances_')]
    if not (instances or files):
        raise DataError(f'{src} has no .json files: give the annotation file with --annotations')
    return instances or files


def _categories(content: dict[str, Any], path: Path) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Class names with the background, and category id -> label value."""
    try:
        items = [(item['id'], str(item['name'])) for item in content['categories']]
        dict(items)
    except (KeyError, TypeError) as error:
        raise DataError(f'{path}: its categories have no id and name') from error
    if not 0 < len(items) < _IGNORE:
        raise DataError(f'{path} has {len(items)} categories: 1..{_IGNORE - 1} are possible')
    names = tuple(name for _, name in items)
    return (BACKGROUND, *names), {number: k for k, (number, _) in enumerate(items, start=1)}


def _group(
    content: dict[str, Any], path: Path, values: dict[Any, int]
) -> tuple[dict[Any, list[_Annotation]], dict[Any, str], dict[str, str]]:
    """Annotations per image id in file order, and what is wrong.

    Returns:
        image id -> annotations; image id -> why it cannot be converted; annotations that
        belong to no image -> why.
    """
    found: dict[Any, list[_Annotation]] = defaultdict(list)
    problems: dict[Any, str] = {}
    lost: dict[str, str] = {}
    for position, item in enumerate(records(content, 'annotations', path)):
        what = called('annotation', item, position)
        wrong = lack(item, 'image_id') or lack_of_number(item, 'image_id')
        if wrong:
            lost[what] = f'{path}: {what} {wrong}'
            continue
        wrong = lack(item, 'category_id', 'segmentation') or lack_of_number(item, 'category_id')
        if not wrong and item['category_id'] not in values:
            wrong = f'has category {item["category_id"]}, which is not in the list of categories'
        if wrong:
            problems.setdefault(item['image_id'], f'{path}: {what} {wrong}')
            continue
        number, crowd = values[item['category_id']], bool(item.get('iscrowd', 0))
        found[item['image_id']].append(
            _Annotation(item.get('id', position), number, item['segmentation'], crowd)
        )
    return found, problems, lost


def _images(
    content: dict[str, Any], path: Path
) -> tuple[dict[Any, tuple[str, tuple[int, int]]], dict[Any, str]]:
    """Image id -> name and (H, W); and id, or place in the list -> what is wrong with it."""
    found: dict[Any, tuple[str, tuple[int, int]]] = {}
    wrong: dict[Any, str] = {}
    for position, item in enumerate(records(content, 'images', path)):
        what = called('image', item, position)
        text = lack(item, *_IMAGE_KEYS) or lack_of_number(item, *_IMAGE_KEYS)
        if not text and item['id'] in found:
            text = f'is listed twice, as {found[item["id"]][0]} and as {item["file_name"]}'
        if text:
            has_id = isinstance(item, dict) and isinstance(item.get('id'), int | str)
            wrong[item['id'] if has_id else what] = f'{path}: {what} {text}'
        else:
            found[item['id']] = str(item['file_name']), (item['height'], item['width'])
    return {k: v for k, v in found.items() if k not in wrong}, wrong


def _samples(
    content: dict[str, Any],
    path: Path,
    values: dict[Any, int],
    root: Path,
    index: dict[str, list[Path]],
    options: COCOOptions,
    named: str | None,
) -> list[Sample]:
    try:
        found, problems, lost = _group(content, path, values)
        images, unusable = _images(content, path)
    except DataError as error:
        return [Sample(named or 'train', path.name, problem=str(error))]
    split_of = split_names(sorted(name for name, _ in images.values()), options.val_every)
    # what is wrong with the list comes before the annotations that it leaves without an image
    lost = {f'image {number}': text for number, text in unusable.items()} | lost
    for number in sorted({*found, *problems} - images.keys() - unusable.keys(), key=str):
        text = f'{path} has annotations of image {number}, which it does not list'
        lost[f'image {number}'] = text
    samples = [
        Sample(named or 'train', f'{path.name}: {what}', problem=text)
        for what, text in lost.items()
    ]
    for number, (name, size) in images.items():
        split = named or split_of[name]
        try:
            image = find_image(name, near=path.parent, root=root, index=index)
            if number in problems or image is None:
                raise DataError(problems.get(number, f'{path}: image {name} is missing'))
        except DataError as error:
            samples.append(Sample(split, name, problem=str(error)))
            continue
        make = partial(draw_annotations, path, size, tuple(found[number]), options.crowd)
        stem = Path(name).stem
        places = (CopyTask(image, in_split(split, 'image', image_name(image, stem))),)
        draws = (RenderTask(in_split(split, 'label', f'{stem}.png'), make),)
        samples.append(Sample(split, name, (path,), places, draws))
    return samples
