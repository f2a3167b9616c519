"""Your own annotations in COCO's format: polygons and run lengths.

COCO defines no semantic map; here the parts of one annotation are united, later annotations lie
over earlier ones, classes are numbered in the order of ``categories`` from 1, and 0 is the
background. Drawn by pycocotools.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import cv2
import numpy as np

from openseg_plugin.converters.datasets.core.annotated import CLASS_NAMES, note_bad_shapes
from openseg_plugin.converters.datasets.core.find import (
    called,
    find_named,
    lack,
    lack_of_number,
    read_json,
    records,
    same_id,
    walk_files,
    whole,
)
from openseg_plugin.converters.datasets.core.images import upright_size
from openseg_plugin.converters.datasets.core.masks import (
    bounds,
    check_polygons,
    read_runs,
    runs_of_shapes,
)
from openseg_plugin.converters.datasets.core.pairs import (
    BACKGROUND,
    VAL_FRACTION,
    class_palette,
    find_image,
    image_name,
    index_images,
    merge_table,
    names_of,
    note_class_names,
    note_named_splits,
    note_similar,
    read_class_names,
    split_in_folders,
    split_in_name,
    splits_by_folders,
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
from openseg_plugin.utils.files import SPLITS

_IGNORE = 255
_KEYS = ('images', 'annotations', 'categories')
_IDS = ('id', 'image_id', 'category_id')
_IMAGE_KEYS = ('id', 'file_name', 'height', 'width')
_HINT = 'fix it, or give --skip-bad-shapes'


@dataclass(frozen=True)
class COCOOptions:
    """Options of the COCO converter."""

    annotations: tuple[Path, ...] = option(
        (), 'annotation files (default: all in SRC); their name or folder says the split, if any'
    )
    crowd: Literal['class', 'ignore'] = option(
        'class', 'crowds are their class, or ignored (255) where nothing else is'
    )
    val_fraction: float = option(0.0, VAL_FRACTION + '; not for files whose name says it')
    skip_bad_shapes: bool = option(
        False, 'leave out annotations that cannot be drawn, and list them, instead of stopping'
    )
    merge_names: bool = option(False, 'categories that differ only in case or blanks are one')


@dataclass(frozen=True)
class _Annotation:
    """One object of an image: its class and its polygons or run lengths."""

    id: Any
    value: int
    shape: Any
    is_crowd: bool

    def where(self, path: Path) -> str:
        """What messages call it."""
        return f'{path}: annotation {self.id}'

    def check(self, size: tuple[int, int], path: Path) -> None:
        """Makes sure that it can be drawn, without drawing it.

        Raises:
            DataError: it cannot; names it.
        """
        where = self.where(path)
        if isinstance(self.shape, list):
            check_polygons(self.shape, size=size, where=where)
        else:
            read_runs(self.shape, size=size, where=where)


class _ForeignError(DataError):
    """A JSON file of something else than COCO annotations."""


@dataclass
class _File:
    """What one annotation file says.

    Attributes:
        path: the file.
        split: the split that its name or folder says, or :data:`UNDIVIDED`.
        categories: id -> name, in file order.
        images: id -> name as written and (H, W).
        annotations: image id -> its annotations in file order; their values are category ids.
        problems: image id -> why it cannot be converted.
        bad: what is wrong with annotations that have no class or no image.
        lost: records that belong to no image -> what is wrong with them.
    """

    path: Path
    split: str
    categories: dict[Any, str] = field(default_factory=dict)
    images: dict[Any, tuple[str, tuple[int, int]]] = field(default_factory=dict)
    annotations: dict[Any, list[_Annotation]] = field(default_factory=dict)
    problems: dict[Any, str] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)


def draw_annotations(
    path: Path,
    image: Path,
    size: tuple[int, int],
    annotations: Sequence[_Annotation],
    crowd: Literal['class', 'ignore'],
    uncovered: int = 0,
) -> np.ndarray:
    """Label map of an image: (H, W) uint8.

    Args:
        path: the annotation file, for messages.
        image: its image.
        size: (H, W) as the annotation file says.
        annotations: in file order.
        crowd: what a crowd becomes.
        uncovered: value of pixels without an annotation.

    Raises:
        DataError: the image has another size, or polygons or run lengths that cannot be drawn;
            names the annotation.
    """
    height, width = upright_size(image)
    if (height, width) != size:
        raise DataError(
            f'{image} is {width}x{height} pixels but its label is {size[1]}x{size[0]} in {path}: '
            'they do not belong together'
        )
    # column by column, as COCO counts; slices of a view of bytes are filled ten times as fast as
    # NumPy's, and twice as fast as those of the bytes themselves
    pixels = memoryview(bytearray([uncovered]) * (height * width))
    label = np.frombuffer(pixels, np.uint8)
    for item, runs in zip(annotations, _runs(annotations, size, path)):
        if item.is_crowd and crowd == 'ignore':
            for start, end in runs:
                part = label[start:end]
                part[part == uncovered] = _IGNORE
        else:
            value = bytes([item.value])
            for start, end in runs:
                pixels[start:end] = value * (end - start)
    return cv2.transpose(label.reshape(width, height))


def _runs(
    annotations: Sequence[_Annotation], size: tuple[int, int], path: Path
) -> list[Iterable[tuple[int, int]]]:
    """Runs of pixels of each annotation, (first, last + 1) of x * H + y.

    Raises:
        DataError: one cannot be drawn; names it.
    """
    try:
        outlines = [x for x in annotations if isinstance(x.shape, list)]
        drawn = iter(runs_of_shapes([(x.shape, x.where(path)) for x in outlines], size=size))
        return [
            next(drawn)
            if isinstance(x.shape, list)
            else bounds(read_runs(x.shape, size=size, where=x.where(path)))
            for x in annotations
        ]
    except DataError as error:
        raise DataError(f'{error}; {_HINT}') from error


@converter('coco_polygons', COCOOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: COCOOptions, splits: tuple[str, ...]) -> Plan:
    """Your own annotations in COCO's JSON format: polygons and run lengths."""
    root = src if src.is_dir() else src.parent
    paths = list(options.annotations) or _find_annotations(src)
    base = src if src.is_dir() else root.parent
    named = {path: split_in_name(path) or split_in_folders(path, base) for path in paths}
    files, samples = [], []
    foreign: dict[Path, str] = {}
    for path in paths:
        try:
            files.append(_read(path, named[path] or UNDIVIDED))
        except _ForeignError as error:
            foreign[path] = str(error)
        except DataError as error:  # the other files can be converted all the same
            samples.append(Sample(named[path] or 'train', path.name, problem=str(error)))
    if foreign and (not files or options.annotations):
        raise DataError(next(iter(foreign.values())))
    if not files:
        raise DataError(str(samples[0].problem))
    _refuse_boxes(files)
    names, notices = _class_names(files, options)
    uncovered = 0
    listed = find_named(src, CLASS_NAMES)
    if listed is not None:
        names, uncovered = _in_order_of(listed, names)
        notices += (note_class_names(listed, uncovered),)
    if options.skip_bad_shapes:
        notices += _drop_bad_shapes(files)
    made, more = _samples(files, names, root, options, uncovered)
    samples += made
    notices += more
    notices += note_named_splits(named, options.val_fraction)
    return Plan(
        samples,
        names,
        class_palette(len(names)),
        notices=notices,
        read=[*(p for p in paths if p not in foreign), *([listed] if listed else [])],
    )


def _find_annotations(src: Path) -> list[Path]:
    """Annotation files below a folder; of a COCO download only the instances."""
    if src.is_file():
        return [src]
    files = walk_files(src, ('.json',))
    instances = [path for path in files if path.name.startswith('instances_')]
    if not (instances or files):
        raise DataError(f'{src} has no .json files: give the annotation file with --annotations')
    return instances or files


def _read(path: Path, split: str) -> _File:
    """Content of an annotation file.

    Raises:
        DataError: it cannot be used at all.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content.keys() & set(_KEYS):
        raise _ForeignError(f'{path} has no entry {", ".join(_KEYS)}: it is not the right file')
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise DataError(f'{path} has no entry {", ".join(missing)}: it is not the right file')
    file = _File(path, split, _categories(content, path))
    _group(content, file)
    unusable = _list_images(content, file)
    # what is wrong with the list comes before the annotations that it leaves without an image
    lost = {f'image {number}': text for number, text in unusable.items()} | file.lost
    numbers = {*file.annotations, *file.problems} - file.images.keys() - unusable.keys()
    unlisted: list[str] = []
    for number in sorted(numbers, key=str):
        text = f'{path} has annotations of image {number}, which it does not list'
        lost[f'image {number}'] = f'{text}; {_HINT}'
        unlisted.append(text)
    file.lost = lost
    file.bad += unlisted
    return file


def _categories(content: dict[str, Any], path: Path) -> dict[Any, str]:
    """Category id -> name, in file order."""
    items: dict[Any, str] = {}
    try:
        for item in content['categories']:
            name = str(item['name']).strip()
            number = same_id(item['id'])
            if items.setdefault(number, name) != name:
                raise DataError(
                    f'{path}: categories {items[number]} and {name} have the same id '
                    f'{item["id"]}: give each its own'
                )
    except (KeyError, TypeError) as error:
        raise DataError(f'{path}: its categories have no id and name') from error
    if not 0 < len(items) < _IGNORE:
        raise DataError(f'{path} has {len(items)} categories: 1..{_IGNORE - 1} are possible')
    return items


def _group(content: dict[str, Any], file: _File) -> None:
    """Sorts the annotations by image; those with mistakes become problems of their image."""
    found: dict[Any, list[_Annotation]] = defaultdict(list)
    path = file.path
    for position, item in enumerate(records(content, 'annotations', path)):
        what = called('annotation', item, position)
        item = _with_plain_ids(item)
        wrong = lack(item, 'image_id') or lack_of_number(item, 'image_id')
        if wrong:
            file.lost[what] = f'{path}: {what} {wrong}'
            continue
        wrong = lack(item, 'category_id') or lack_of_number(item, 'category_id')
        if not wrong and item['category_id'] not in file.categories:
            wrong = f'has category {item["category_id"]}, which is not in the list of categories'
        if not wrong and 'segmentation' not in item and 'bbox' not in item:
            wrong = 'has no segmentation'
        if wrong:
            file.bad.append(f'{path}: {what} {wrong}')
            file.problems.setdefault(item['image_id'], f'{file.bad[-1]}; {_HINT}')
            continue
        found[item['image_id']].append(
            _Annotation(
                item.get('id', position),
                item['category_id'],
                item.get('segmentation') or [],
                bool(item.get('iscrowd', 0)),
            )
        )
    file.annotations = found


def _with_plain_ids(item: Any) -> Any:
    """A record whose ids can be compared, whether they were written as numbers or as text."""
    if not isinstance(item, dict) or all(type(item.get(key, 0)) is int for key in _IDS):
        return item
    return {k: same_id(v) if k in _IDS else v for k, v in item.items()}


def _list_images(content: dict[str, Any], file: _File) -> dict[Any, str]:
    """Fills in the images; returns id, or place in the list -> what is wrong with an image."""
    wrong: dict[Any, str] = {}
    named: dict[Any, Any] = {}
    found = file.images
    for position, item in enumerate(records(content, 'images', file.path)):
        what = called('image', item, position)
        item = _with_plain_ids(item)
        if isinstance(item, dict):
            item = {**item, **{k: whole(item[k]) for k in ('height', 'width') if k in item}}
        text = lack(item, *_IMAGE_KEYS) or lack_of_number(item, *_IMAGE_KEYS)
        if not text and not all(type(item[k]) is int and item[k] > 0 for k in ('height', 'width')):
            text = f'has the size {item["width"]!r:.20} x {item["height"]!r:.20}'
        first = named.setdefault(item['file_name'], item['id']) if not text else None
        if not text and first != item['id']:
            text = f'has the file {item["file_name"]}, as image {first} has'
        if not text and item['id'] in found:
            text = f'is listed twice, as {found[item["id"]][0]} and as {item["file_name"]}'
        if text:
            has_id = isinstance(item, dict) and isinstance(item.get('id'), int | str)
            wrong[item['id'] if has_id else what] = f'{file.path}: {what} {text}'
        else:
            found[item['id']] = str(item['file_name']), (item['height'], item['width'])
    file.images = {k: v for k, v in found.items() if k not in wrong}
    return wrong


def _refuse_boxes(files: Sequence[_File]) -> None:
    """Makes sure that some annotation has a shape.

    Raises:
        DataError: there are annotations, and all of them are boxes.
    """
    found = [item for file in files for items in file.annotations.values() for item in items]
    if len(found) > 0 and not any(item.shape for item in found):
        raise DataError(
            f'{files[0].path}: its annotations hold boxes, no polygons: export them as '
            'segmentations, or draw the outlines first'
        )


def _class_names(
    files: Sequence[_File], options: COCOOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Class names with the background, in the order of the first file, and notices.

    Raises:
        DataError: files list different categories; says which.
    """
    first = files[0]
    listed = list(first.categories.values())
    notices: tuple[str, ...] = ()
    for file in files[1:]:
        others = list(file.categories.values())
        only_here, only_there = sorted(set(listed) - set(others)), sorted(set(others) - set(listed))
        if only_here or only_there:
            raise DataError(
                f'{first.path} and {file.path} have different categories: only the first has '
                f'{", ".join(only_here) or "none"}, only the second has '
                f'{", ".join(only_there) or "none"}: export both with the same list'
            )
        if others != listed and not notices:
            notices = (
                f'{first.path} lists its categories as {", ".join(listed)}, {file.path} as '
                f'{", ".join(others)}: taken by their names, numbered as in the first',
            )
    if options.merge_names:
        table = merge_table([BACKGROUND, *listed])
        return tuple(dict.fromkeys(table[name] for name in (BACKGROUND, *listed))), notices
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        notices += (
            f'{first.path} lists category {twice[0]} more than once, each time a class of its '
            'own: give --merge-names to make them one',
        )
    return (BACKGROUND, *listed), (*notices, *note_similar(listed, what='categories'))


def _in_order_of(listed: Path, names: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Class names of a file, and the value of pixels without an annotation.

    Raises:
        DataError: it lacks a category.
    """
    ordered, uncovered = read_class_names(listed)
    missing = sorted(set(names) - {BACKGROUND} - set(ordered))
    if missing:
        raise DataError(
            f'{listed} lacks the categories {", ".join(missing)}: add them, or remove the file to '
            'number classes as the annotation files do'
        )
    return ordered, uncovered


def _values(file: _File, names: Sequence[str]) -> dict[Any, int]:
    """Category id -> label value; of equal names the k-th is the k-th class of that name."""
    places: dict[str, list[int]] = defaultdict(list)
    for value, name in enumerate(names):
        places[name].append(value)
    seen: dict[str, int] = defaultdict(int)
    values = {}
    for number, name in file.categories.items():
        known = places.get(name) or places[merge_table([*names, name])[name]]
        values[number] = known[min(seen[name], len(known) - 1)]
        seen[name] += 1
    return values


def _drop_bad_shapes(files: Sequence[_File]) -> tuple[str, ...]:
    """Removes annotations that cannot be drawn; returns a notice that lists them."""
    bad = []
    for file in files:
        bad += file.bad
        file.problems.clear()
        file.lost = {k: text for k, text in file.lost.items() if not text.endswith(_HINT)}
        for number, (_, size) in file.images.items():
            kept = []
            for item in file.annotations.get(number, ()):
                try:
                    item.check(size, file.path)
                except DataError as error:
                    bad.append(str(error))
                else:
                    kept.append(item)
            file.annotations[number] = kept
    return note_bad_shapes(bad)


def _samples(
    files: Sequence[_File],
    names: Sequence[str],
    root: Path,
    options: COCOOptions,
    uncovered: int,
) -> tuple[list[Sample], tuple[str, ...]]:
    """Samples, and a notice of images whose folders say the split."""
    index = index_images(root)
    found: list[tuple[_File, Any, Path]] = []
    samples = []
    for file in files:
        samples += [
            Sample(file.split or 'train', f'{file.path.name}: {what}', problem=text)
            for what, text in file.lost.items()
        ]
        for number, (name, _) in sorted(file.images.items(), key=lambda item: item[1][0]):
            try:
                image = find_image(
                    name, near=file.path.parent, root=root, index=index, split=file.split
                )
                if number in file.problems or image is None:
                    text = f'{file.path}: image {name} is missing'
                    raise DataError(file.problems.get(number, text))
            except DataError as error:
                samples.append(Sample(file.split, name, problem=str(error)))
            else:
                found.append((file, number, image))
    stems = names_of([_called(image, root, x.images[number][0]) for x, number, image in found])
    values = {id(file): _values(file, names) for file in files}
    undivided = [image for file, _, image in found if file.split == UNDIVIDED]
    said = splits_by_folders(undivided, root)
    for (file, number, image), stem in zip(found, stems):
        table = values[id(file)]
        items = [
            _Annotation(x.id, table[x.value], x.shape, x.is_crowd)
            for x in file.annotations.get(number, ())
        ]
        split = file.split or said.get(image) or UNDIVIDED
        samples.append(_sample(file, number, image, stem, items, split, options, uncovered))
    return samples, note_named_splits(said, options.val_fraction)


def _called(image: Path, root: Path, written: str) -> PurePosixPath:
    """Path that names a sample: below the data, or, of an image elsewhere, as it is written."""
    below = image.relative_to(root) if image.is_relative_to(root) else written.replace('\\', '/')
    return PurePosixPath(below)


def _sample(
    file: _File,
    number: Any,
    image: Path,
    stem: str,
    annotations: Sequence[_Annotation],
    split: str,
    options: COCOOptions,
    uncovered: int,
) -> Sample:
    name, size = file.images[number]
    make = partial(draw_annotations, file.path, image, size, annotations, options.crowd, uncovered)
    places = (CopyTask(image, in_split(split, 'image', image_name(image, stem))),)
    draws = (RenderTask(in_split(split, 'label', f'{stem}.png'), make),)
    return Sample(split, name, (file.path,), places, draws)
