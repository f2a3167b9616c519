"""PASCAL in Detail: the annotation file of PASCAL-Context, ``trainval_merged.json``."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.classes import pascal_context as classes
from openseg_plugin.converters.datasets.core.json_files import (
    called,
    lack,
    lack_of_number,
    read_json,
    records,
)
from openseg_plugin.converters.datasets.core.masks import decode_rle
from openseg_plugin.errors import DataError

_PICTURE_KEYS = ('file_name', 'phase', 'height', 'width', 'image_id')


@dataclass
class Annotated:
    """What a source of annotations holds.

    Attributes:
        makers: name -> function that gives its map.
        lists: names of train and of val.
        sources: name -> file that its map is made from.
        broken: records that belong to no picture -> what is wrong with them.
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
    new = {number: k for k, number in enumerate(classes.IDS_459, start=1)}
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
    """Pictures and annotations of the file.

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
        wrong = lack(item, *_PICTURE_KEYS) or lack_of_number(item, *_PICTURE_KEYS)
        if wrong:
            what = f'picture number {position} of its list'
            broken[what] = f'{path}: {what} {wrong}'
        elif item['phase'] in found.lists:
            name = Path(str(item['file_name'])).stem
            found.lists[item['phase']].append(name)
            drawn = tuple(annotations[item['image_id']])
            size = item['height'], item['width']
            found.makers[name] = partial(draw_annotations, path, size, drawn)
            found.sources[name] = path
    return found
