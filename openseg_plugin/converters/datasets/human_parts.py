"""Human parsing: LIP (Gong et al., 2017), CIHP (Gong et al., 2018) and ATR (Liang et al., 2015).

All three become ``<split>/{image,label,edge}``; labels of ATR are given LIP's ids so that the sets
can be joined.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_plugin.converters.datasets.core.find import (
    by_stem,
    find_folder,
    list_files,
    read_names,
)
from openseg_plugin.converters.datasets.core.images import read_known
from openseg_plugin.converters.datasets.core.pairs import DEFAULT_WIDTH, VAL_FRACTION, Maker, Pairs
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED, Plan, converter, option
from openseg_plugin.datasets import classes
from openseg_plugin.errors import ConfigError, DataError

_WIDTHS = 'widths of the edge maps in pixels: the first in edge/, others in edge_width<n>/; 0: none'


@dataclass(frozen=True)
class EdgeOptions:
    """Options of LIP and CIHP."""

    edge_width: tuple[int, ...] = option((DEFAULT_WIDTH,), _WIDTHS)


@dataclass(frozen=True)
class ATROptions(EdgeOptions):
    """Options of ATR."""

    labels: Literal['lip', 'atr'] = option('lip', "label values: LIP's 20 classes or ATR's own 18")
    val_fraction: float = option(0.0, VAL_FRACTION + '; without it there is one split atr')


@converter('lip', EdgeOptions, splits=('train', 'val', 'test'), default_splits=('train', 'val'))
def plan_lip(src: Path, *, options: EdgeOptions, splits: tuple[str, ...]) -> Plan:
    """LIP: 20 body parts and clothes, and edges."""
    pairs = Pairs()
    make = _maker(len(classes.LIP_CLASSES), 'LIP')
    for split in splits:
        if split == 'test':
            needed = 'unpack Testing_images.zip there'
            folder = find_folder(src, 'testing_images', 'Testing_images', needed=needed)
            pairs.add(split, by_stem(list_files(folder, ('.jpg',))), None, make)
            continue
        images = find_folder(src, f'{split}_images', needed='unpack TrainVal_images.zip there')
        labels = find_folder(
            src, f'{split}_segmentations', needed='unpack TrainVal_parsing_annotations.zip there'
        )
        pairs.add(
            split,
            by_stem(list_files(images, ('.jpg',))),
            by_stem(list_files(labels, ('.png',))),
            make,
            names=_listed(images.parent / f'{split}_id.txt'),
            edge_widths=_widths(options),
        )
    return _plan(pairs, classes.LIP_CLASSES)


@converter('cihp', EdgeOptions, splits=('train', 'val', 'test'), default_splits=('train', 'val'))
def plan_cihp(src: Path, *, options: EdgeOptions, splits: tuple[str, ...]) -> Plan:
    """CIHP: 20 body parts and clothes of several persons, with edges."""
    pairs = Pairs()
    make = _maker(len(classes.CIHP_CLASSES), 'CIHP')
    needed = 'unpack instance-level_human_parsing.tar.gz there'
    for split in splits:
        raw = {'train': 'Training', 'val': 'Validation', 'test': 'Testing'}[split]
        images = find_folder(src, f'{raw}/Images', needed=needed)
        found = by_stem(list_files(images, ('.jpg',)))
        if split == 'test':
            pairs.add(split, found, None, make)
            continue
        labels = find_folder(src, f'{raw}/Category_ids', needed=needed)
        pairs.add(
            split,
            found,
            by_stem(list_files(labels, ('.png',))),
            make,
            names=_listed(images.parent / f'{split}_id.txt'),
            edge_widths=_widths(options),
        )
    return _plan(pairs, classes.CIHP_CLASSES)


def _atr_splits(options: ATROptions) -> tuple[str, ...]:
    return ('train', 'val') if options.val_fraction else ('atr',)


@converter('atr', ATROptions, splits=('atr', 'train', 'val'), default_splits=_atr_splits)
def plan_atr(src: Path, *, options: ATROptions, splits: tuple[str, ...]) -> Plan:
    """ATR: 18 body parts and clothes; as LIP's classes, or its own."""
    pairs = Pairs()
    folder = find_folder(src, 'JPEGImages', needed='unpack the humanparsing archive there')
    labels = find_folder(folder.parent, 'SegmentationClassAug')
    images = by_stem(list_files(folder, ('.jpg',)))
    label_files = by_stem(list_files(labels, ('.png',)))
    as_lip = options.labels == 'lip'
    make = _maker(len(classes.ATR_CLASSES), 'ATR', _atr_to_lip() if as_lip else None)
    if any((split == 'atr') == bool(options.val_fraction) for split in splits):
        raise DataError(
            f'ATR has no split {splits[0]} with --val-fraction {options.val_fraction:g}'
        )
    found = {name: label_files[name] for name in images if name in label_files}
    split = UNDIVIDED if options.val_fraction else 'atr'
    pairs.add(split, images, found, make, edge_widths=_widths(options))
    if as_lip:
        return _plan(pairs, classes.LIP_CLASSES)
    return _plan(pairs, classes.ATR_CLASSES, classes.ATR_FLIP_PAIRS)


def _atr_to_lip() -> np.ndarray:
    table = np.full(256, 255, np.uint8)
    table[: len(classes.ATR_TO_LIP)] = classes.ATR_TO_LIP
    return table


def _maker(number: int, what: str, table: np.ndarray | None = None) -> Maker:
    return partial(partial, read_known, last=number - 1, table=table, what=what)


def _widths(options: EdgeOptions) -> tuple[int, ...]:
    wrong = [width for width in options.edge_width if not 0 <= width <= 255]
    if wrong:
        raise ConfigError(f'--edge-width {wrong[0]}: give widths of 1..255 pixels, or 0 for none')
    return tuple(width for width in options.edge_width if width)


def _listed(path: Path) -> list[str] | None:
    """Names of the list file of a split, or None where the download came without it."""
    return read_names(path) if path.is_file() else None


def _plan(
    pairs: Pairs,
    names: tuple[str, ...],
    flip_pairs: tuple[tuple[int, int], ...] = classes.HUMAN_PARTS_FLIP_PAIRS,
) -> Plan:
    return Plan(
        pairs.samples,
        names,
        classes.HUMAN_PARTS_PALETTE[: len(names)],
        flip_pairs=flip_pairs,
        notices=tuple(pairs.notices),
    )
