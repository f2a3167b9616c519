"""PASCAL-Context (Mottaghi et al., 2014): the 59 most frequent categories and background.

Raw: images of VOC 2010 and one of three annotations: ``trainval_merged.json`` (PASCAL in Detail;
later annotations lie over earlier ones), ``trainval/*.mat`` with 459 categories, or
``59_context_labels/*.png``. Labels: 0 is everything outside the 59 classes, 1..59 in the order of
their number among the 459.

PASCAL in Detail: the annotation file of PASCAL-Context, ``trainval_merged.json``.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from openseg_plugin.converters.datasets.core.find import (
    by_stem,
    called,
    find_file,
    find_folder,
    lack,
    lack_of_number,
    list_files,
    read_json,
    read_matlab,
    read_names,
    records,
)
from openseg_plugin.converters.datasets.core.images import apply_table
from openseg_plugin.converters.datasets.core.masks import decode_rle
from openseg_plugin.converters.datasets.core.pairs import Pairs
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    converter,
    in_split,
    option,
)
from openseg_plugin.datasets import classes
from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import class_numbers, read_label

_IMAGE_KEYS = ('file_name', 'phase', 'height', 'width', 'image_id')


@dataclass
class Annotated:
    """What a source of annotations holds.

    Attributes:
        makers: name -> function that gives its map.
        lists: names of train and of val.
        sources: name -> file that its map is made from.
        broken: records that belong to no image -> what is wrong with them.
    """

    makers: dict[str, Callable[[], np.ndarray]]
    lists: dict[str, list[str]]
    sources: dict[str, Path]
    broken: dict[str, str] = field(default_factory=dict)


def draw_annotations(
    path: Path, size: tuple[int, int], annotations: tuple[dict[str, Any], ...]
) -> np.ndarray:
    """Labels from annotations: (H, W) uint8, 0..59; later annotations lie over earlier ones.

    Args:
        path: the annotation file, for messages.
        size: (H, W).
        annotations: with ``category_id`` among the 459 and run lengths, in file order.

    Raises:
        DataError: an annotation that cannot be drawn; names it.
    """
    new = {number: k for k, number in enumerate(classes.PASCAL_CONTEXT_IDS_459, start=1)}
    label = np.zeros(size, np.uint8)
    for position, item in enumerate(annotations):
        what = called('annotation', item, position)
        wrong = lack(item, 'category_id', 'segmentation') or lack_of_number(item, 'category_id')
        if wrong:
            raise DataError(f'{path}: {what} {wrong}')
        mask = decode_rle(item['segmentation'], size=size, path=path, what=what)
        label[mask] = new.get(item['category_id'], 0)
    return label


def read_detail(path: Path) -> Annotated:
    """Images and annotations of the file.

    Raises:
        DataError: it is not PASCAL in Detail.
    """
    content = read_json(path, 'images', 'annos_segmentation')
    annotations: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    broken: dict[str, str] = {}
    for position, item in enumerate(records(content, 'annos_segmentation', path)):
        wrong = lack(item, 'image_id') or lack_of_number(item, 'image_id')
        if wrong:
            what = called('annotation', item, position)
            broken[what] = f'{path}: {what} {wrong}'
            continue
        annotations[item['image_id']].append(item)
    found = Annotated({}, {'train': [], 'val': []}, {}, broken)
    for position, item in enumerate(records(content, 'images', path)):
        wrong = lack(item, *_IMAGE_KEYS) or lack_of_number(item, *_IMAGE_KEYS)
        if wrong:
            what = f'image number {position} of its list'
            broken[what] = f'{path}: {what} {wrong}'
        elif item['phase'] in found.lists:
            name = Path(str(item['file_name'])).stem
            found.lists[item['phase']].append(name)
            drawn = tuple(annotations[item['image_id']])
            size = item['height'], item['width']
            found.makers[name] = partial(draw_annotations, path, size, drawn)
            found.sources[name] = path
    return found


_JSON = 'trainval_merged.json'
_HOME = 'VOCdevkit/VOC2010'
_LIST = 'ImageSets/SegmentationContext'
_BACKGROUND = (0, 0, 0)
_LAST_459 = 459


@dataclass(frozen=True)
class ContextOptions:
    """Options of the PASCAL-Context converter."""

    annotation: Literal['auto', 'json', 'mat', 'png'] = option(
        'auto',
        'trainval_merged.json, trainval/*.mat or 59_context_labels/*.png; auto: what is there',
    )
    num_classes: Literal[59, 60] = option(
        59, '60 counts background as a class; the label files are the same'
    )
    layout: Literal['openseg', 'mmseg'] = option(
        'openseg', "DST/<split>/{image,label}, or mmseg's VOC2010/SegmentationClassContext"
    )


def read_459(path: Path) -> np.ndarray:
    """Labels of a .mat file with 459 categories: (H, W) uint8, 0..59."""
    values = read_matlab(path, 'LabelMap').astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() <= _LAST_459:
        raise DataError(f'{path} holds the value {values.max()}, allowed are 0..{_LAST_459}')
    table = np.zeros(_LAST_459 + 1, np.uint8)
    table[list(classes.PASCAL_CONTEXT_IDS_459)] = np.arange(
        1, len(classes.PASCAL_CONTEXT_CLASSES) + 1
    )
    return table[values]


def read_59(path: Path) -> np.ndarray:
    """Labels of a file of 59_context_labels, which has another order: (H, W) uint8, 0..59."""
    table = np.zeros(256, np.uint8)
    table[list(classes.PASCAL_CONTEXT_IDS_59_LABELS)] = np.arange(
        1, len(classes.PASCAL_CONTEXT_CLASSES) + 1
    )
    return apply_table(class_numbers(read_label(path), path), table)


@converter('pascal_context', ContextOptions, splits=('train', 'val'))
def plan(src: Path, *, options: ContextOptions, splits: tuple[str, ...]) -> Plan:
    """PASCAL-Context: 59 classes (or 60 with background) on images of VOC 2010."""
    folder = find_folder(
        src, 'VOC2010/JPEGImages', 'JPEGImages', needed='unpack VOCtrainval_03-May-2010.tar there'
    )
    images = by_stem(list_files(folder, ('.jpg',)))
    kind = options.annotation if options.annotation != 'auto' else _what_is_there(src)
    found = _read(src, folder.parent, kind)
    pairs = Pairs([Sample(splits[0], name, problem=text) for name, text in found.broken.items()])
    for split in splits:
        names = [name for name in found.lists[split] if name in found.makers]
        missing = len(found.lists[split]) - len(names)
        if missing:
            pairs.notices.append(f'{missing} {split} images have no annotation and were left out')
        for name in names:
            pairs.samples.append(
                _sample(split, name, images, found.makers[name], found.sources[name], options)
            )
    with_background = options.num_classes == 60
    class_names = classes.PASCAL_CONTEXT_CLASSES
    texts = {}
    if options.layout == 'mmseg':
        texts = {
            f'{_HOME}/{_LIST}/{s}.txt': ''.join(f'{n}\n' for n in found.lists[s]) for s in splits
        }
    return Plan(
        pairs.samples,
        ('background', *class_names) if with_background else class_names,
        (_BACKGROUND, *classes.PASCAL_CONTEXT_PALETTE),
        reduce_zero_label=not with_background,
        notices=tuple(pairs.notices),
        texts=texts,
    )


def _sample(
    split: str,
    name: str,
    images: dict[str, Path],
    make: Callable[[], np.ndarray],
    source: Path,
    options: ContextOptions,
) -> Sample:
    if name not in images:
        return Sample(split, name, problem=f'image {name}.jpg is missing in JPEGImages')
    to_image = in_split(split, 'image', f'{name}.jpg')
    to_label = in_split(split, 'label', f'{name}.png')
    if options.layout == 'mmseg':
        to_image = f'{_HOME}/JPEGImages/{name}.jpg'
        to_label = f'{_HOME}/SegmentationClassContext/{name}.png'
    places = (CopyTask(images[name], to_image),)
    return Sample(split, name, (source,), places, (RenderTask(to_label, make),))


def _what_is_there(src: Path) -> str:
    for kind, find in (
        ('json', lambda: find_file(src, _JSON)),
        ('mat', lambda: find_folder(src, 'trainval')),
        ('png', lambda: find_folder(src, '59_context_labels')),
    ):
        try:
            find()
        except DataError:
            continue
        return kind
    raise DataError(
        f'{src} has no annotation of PASCAL-Context: put {_JSON}, the folder trainval/ with .mat '
        'files, or the folder 59_context_labels/ there'
    )


def _read(src: Path, voc: Path, kind: str) -> Annotated:
    """How labels are made and from which file, and the names of each split."""
    if kind == 'json':
        return read_detail(find_file(src, _JSON))
    if kind == 'mat':
        files = by_stem(list_files(find_folder(src, 'trainval'), ('.mat',)))
        makers: dict[str, Callable[[], np.ndarray]] = {
            name: partial(read_459, path) for name, path in files.items()
        }
    else:
        files = by_stem(list_files(find_folder(src, '59_context_labels'), ('.png',)))
        makers = {name: partial(read_59, path) for name, path in files.items()}
    return Annotated(makers, _lists(src, voc), files)


def _lists(src: Path, voc: Path) -> dict[str, list[str]]:
    """Names of train and val: a list file, VOC 2010's own split, or the phases of the JSON."""
    for folder in (_LIST, 'ImageSets/Main'):
        paths = {split: voc / folder / f'{split}.txt' for split in ('train', 'val')}
        if all(path.is_file() for path in paths.values()):
            return {split: read_names(path) for split, path in paths.items()}
    try:
        return read_detail(find_file(src, _JSON)).lists
    except DataError as error:
        raise DataError(
            f'{voc} has no ImageSets/Main/train.txt and val.txt, which say the splits: unpack '
            'VOCtrainval_03-May-2010.tar whole'
        ) from error
