"""COCO-Stuff (Caesar et al., 2018): the 10k and the 164k release, 171 classes.

Their label values differ. By default both are written as mmseg's dataset class reads them:
10k: 0 unlabelled, 1..171 (``reduce_zero_label``); 164k: 0..170, 255 unlabelled.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_plugin.converters.datasets.core.find import (
    by_stem,
    find_folder,
    find_folders,
    list_files,
    read_matlab,
    read_names,
)
from openseg_plugin.converters.datasets.core.images import apply_table
from openseg_plugin.converters.datasets.core.pairs import Pairs
from openseg_plugin.converters.datasets.core.plan import Plan, converter, option
from openseg_plugin.datasets import classes
from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import class_numbers, read_label

_TRAIN_IDS = '_labelTrainIds'
_LAST_ID = 182
_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class COCOStuffOptions:
    """Options of both COCO-Stuff converters."""

    labels: Literal['trainids', 'ids'] = option(
        'trainids', 'label values: classes as mmseg reads them, or the ids of the release'
    )
    layout: Literal['openseg', 'mmseg'] = option(
        'openseg', "DST/<split>/{image,label}, or mmseg's images/ and annotations/"
    )


def read_10k(path: Path, *, labels: Literal['trainids', 'ids']) -> np.ndarray:
    """Labels of a .mat file of the 10k release: (H, W) uint8, 0 unlabelled, 1..171 or raw ids.

    Raises:
        DataError: the file cannot be read or holds an id that no class has.
    """
    values = read_matlab(path, 'S').astype(np.int64)
    allowed = {0, *classes.COCO_STUFF_IDS_10K}
    _check_ids(values, allowed, path)
    if labels == 'ids':
        return values.astype(np.uint8)
    table = np.zeros(_LAST_ID + 1, np.uint8)
    table[list(classes.COCO_STUFF_IDS_10K)] = np.arange(1, len(classes.COCO_STUFF_CLASSES) + 1)
    return table[values]


def read_164k(path: Path, *, labels: Literal['trainids', 'ids']) -> np.ndarray:
    """Labels of a stuffthingmaps file: (H, W) uint8, 0..170 (or raw ids 0..181), 255 unlabelled.

    Raises:
        DataError: the file cannot be read or holds an id that no class has.
    """
    values = class_numbers(read_label(path), path)
    ids = [number - 1 for number in classes.COCO_STUFF_IDS_10K]
    _check_ids(values, {*ids, 255}, path)
    if labels == 'ids':
        return values
    table = np.full(256, 255, np.uint8)
    table[ids] = np.arange(len(ids))
    return apply_table(values, table)


@converter('coco_stuff10k', COCOStuffOptions, splits=('train', 'val'))
def plan_10k(src: Path, *, options: COCOStuffOptions, splits: tuple[str, ...]) -> Plan:
    """COCO-Stuff 10k: 171 classes, 9000 images to train and 1000 to test (split val)."""
    needed = 'unpack cocostuff-10k-v1.1.zip there'
    lists = find_folder(src, 'imageLists', needed=needed)
    images = by_stem(list_files(find_folder(lists.parent, 'images'), ('.jpg',)))
    labels = by_stem(list_files(find_folder(lists.parent, 'annotations'), ('.mat',)))
    pairs = Pairs()
    for split in splits:
        raw = {'train': 'train', 'val': 'test'}[split]
        names = read_names(lists / f'{raw}.txt')
        found = {name: labels[name] for name in names if name in labels}
        pairs.add(
            split,
            images,
            found,
            partial(partial, read_10k, labels=options.labels),
            names=names,
            to=partial(_to_mmseg, f'{raw}2014') if options.layout == 'mmseg' else None,
        )
    if options.labels == 'ids':
        return _plan_of_ids(pairs, classes.COCO_STUFF_IDS_10K)
    return Plan(
        pairs.samples,
        classes.COCO_STUFF_CLASSES,
        (_BLACK, *classes.COCO_STUFF_PALETTE),
        reduce_zero_label=True,
        notices=tuple(pairs.notices),
    )


@converter('coco_stuff164k', COCOStuffOptions, splits=('train', 'val'))
def plan_164k(src: Path, *, options: COCOStuffOptions, splits: tuple[str, ...]) -> Plan:
    """COCO-Stuff 164k: 171 classes on the images of COCO 2017."""
    pairs = Pairs()
    for split in splits:
        raw = f'{split}2017'
        pairs.add(
            split,
            by_stem(_first(src, raw, '.jpg', 'train2017.zip and val2017.zip')),
            by_stem(_first(src, raw, '.png', 'stuffthingmaps_trainval2017.zip')),
            partial(partial, read_164k, labels=options.labels),
            to=partial(_to_mmseg, raw) if options.layout == 'mmseg' else None,
        )
    if options.labels == 'ids':
        return _plan_of_ids(pairs, tuple(number - 1 for number in classes.COCO_STUFF_IDS_10K))
    return Plan(
        pairs.samples,
        classes.COCO_STUFF_CLASSES,
        classes.COCO_STUFF_PALETTE,
        notices=tuple(pairs.notices),
    )


def _plan_of_ids(pairs: Pairs, ids: tuple[int, ...]) -> Plan:
    """Labels as in the release: the class of a value is its place in the fact ``ids``."""
    palette = [_BLACK] * (max(ids) + 1)
    for number, color in zip(ids, classes.COCO_STUFF_PALETTE):
        palette[number] = color
    return Plan(
        pairs.samples,
        classes.COCO_STUFF_CLASSES,
        tuple(palette),
        notices=tuple(pairs.notices),
        facts={'ids': list(ids)},
    )


def _first(src: Path, folder: str, ending: str, archive: str) -> list[Path]:
    """Files of the first folder of that name that has some; images and labels may share one."""
    for found in find_folders(src, folder):
        files = [
            path for path in list_files(found, (ending,)) if not path.stem.endswith(_TRAIN_IDS)
        ]
        if files:
            return files
    raise DataError(f'{src} has no folder {folder}/ with {ending} files: unpack {archive} there')


def _to_mmseg(raw: str, name: str, image: str) -> tuple[str, str]:
    return f'images/{raw}/{image}', f'annotations/{raw}/{name}{_TRAIN_IDS}.png'


def _check_ids(values: np.ndarray, allowed: set[int], path: Path) -> None:
    wrong = sorted(set(np.unique(values).tolist()) - allowed)
    if wrong:
        raise DataError(f'{path} holds the id {wrong[0]}, which no class of COCO-Stuff has')
