"""Your own label pictures in folders: class numbers, colours with a table, or black and white.

Pictures and labels lie in two folders, with the same names (apart from an ending such as
``_mask``); sub-folders train, val and test in either order give the splits.
"""

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_plugin.converters.datasets.core.find import by_stem, read_names, walk_files
from openseg_plugin.converters.datasets.core.own_data import SPLITS, VAL_EVERY
from openseg_plugin.converters.datasets.core.pairs import Maker, Pairs, divide
from openseg_plugin.converters.datasets.core.pictures import read_picture
from openseg_plugin.converters.datasets.core.plan import Plan
from openseg_plugin.converters.datasets.core.registry import converter, option
from openseg_plugin.converters.datasets.core.values import (
    Values,
    read_binary,
    read_colours,
    read_values,
)
from openseg_plugin.errors import ConfigError, DataError

_IMAGE_FOLDERS = ('images', 'image', 'img', 'imgs', 'JPEGImages', 'leftImg8bit')
_LABEL_FOLDERS = (
    'labels',
    'label',
    'masks',
    'mask',
    'annotations',
    'annotation',
    'gt',
    'SegmentationClass',
)
_SAMPLED = 20  # label files that are looked at to find out what they hold
_HEX = re.compile(r'#?([0-9a-fA-F]{6})$')

Colours = tuple[tuple[tuple[int, int, int], int], ...]


@dataclass(frozen=True)
class MaskOptions:
    """Options of the converter for folders of label pictures."""

    kind: Literal['auto', 'numbers', 'colours', 'binary'] = option(
        'auto', 'what label pictures hold: class numbers, colours, or 0 and 255'
    )
    colours: str = option(
        '', 'colour table: lines "R G B name" (or "name R G B", "#rrggbb name", CSV), or JSON'
    )
    classes: tuple[str, ...] = option((), 'class names in label order')
    num_classes: int = option(0, 'number of classes; larger values are an error')
    ignore: tuple[str, ...] = option((), 'label values, or names of the table, that become 255')
    threshold: int = option(0, 'kind binary: values from here on are class 1')
    image_folder: str = option('', 'folder of the pictures below SRC (default: found by its name)')
    label_folder: str = option('', 'folder of the label pictures below SRC')
    label_ending: str = option('', 'what a label is called more than its picture, such as _mask')
    val_every: int = option(0, VAL_EVERY)


@converter('masks', MaskOptions, splits=SPLITS, default_splits=())
def plan(src: Path, *, options: MaskOptions, splits: tuple[str, ...]) -> Plan:
    """Your own label pictures: class numbers, colours with a table, or 0/255 masks."""
    images = _folder(src, options.image_folder, _IMAGE_FOLDERS, 'pictures', '--image-folder')
    labels = _folder(src, options.label_folder, _LABEL_FOLDERS, 'label pictures', '--label-folder')
    pictures = _by_split(images)
    label_files = _by_split(labels)
    sample = [path for files in label_files.values() for path in files.values()]
    if not sample:
        raise DataError(f'{labels} has no pictures')
    make, values = _maker(options, sample)
    pairs = Pairs()
    for split, found in pictures.items():
        named = _without_ending(label_files.get(split, {}), options.label_ending)
        parts = {split: sorted(found)} if split else divide(sorted(found), options.val_every)
        for name, members in parts.items():
            if members and (not splits or name in splits):
                chosen = {m: named[m] for m in members if m in named}
                pairs.add(name, found, chosen, make, names=members)
    return Plan(pairs.samples, values.names, values.palette, notices=tuple(pairs.notices))


def read_colour_table(path: Path) -> list[tuple[str, tuple[int, int, int]]]:
    """(name, (R, G, B)) of a colour table in file order, which is the order of the classes.

    Raises:
        DataError: a line or entry that is no colour.
    """
    if path.suffix.lower() == '.json':
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            pairs = content.items() if isinstance(content, dict) else content
            return [(str(name), _colour([str(v) for v in colour])) for name, colour in pairs]
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f'{path} is no table {{"name": [R, G, B], ...}}: {error}') from error
    rows = []
    for number, line in enumerate(read_names(path), start=1):
        words = [word for word in re.split(r'[\s,;]+', line) if word]
        row = _row(words)
        if row is not None:
            rows.append(row)
        elif number > 1:  # the first line may be a header
            raise DataError(f'{path}, line {number}: {line!r} is no "R G B name"')
    if not rows:
        raise DataError(f'{path} lists no colours')
    return rows


def _row(words: list[str]) -> tuple[str, tuple[int, int, int]] | None:
    """Name and colour of a line, whichever comes first; None if it is neither."""
    for colour, name in ((words[:3], words[3:]), (words[-3:], words[:-3])):
        if len(colour) == 3 and all(word.isdigit() and int(word) < 256 for word in colour):
            return ' '.join(name), _colour(colour)
    for colour, name in ((words[:1], words[1:]), (words[-1:], words[:-1])):
        if _HEX.match(colour[0]) and name:
            return ' '.join(name), _colour(list(bytes.fromhex(colour[0].lstrip('#'))))
    return None


def _colour(values: list) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in values)
    if not all(0 <= value < 256 for value in (red, green, blue)):
        raise ValueError(f'{values} is no colour')
    return red, green, blue


def _maker(options: MaskOptions, files: list[Path]) -> tuple[Maker, Values]:
    """How label files are read, and the classes."""
    kind = _find_kind(options, files) if options.kind == 'auto' else options.kind
    if kind == 'colours':
        if not options.colours:
            raise ConfigError('label pictures in colours need a table: give it with --colours FILE')
        table, values = _number_colours(read_colour_table(Path(options.colours)), options)
        return partial(partial, read_colours, colours=table), values
    if kind == 'binary':
        names = options.classes or ('background', 'foreground')
        return partial(partial, read_binary, threshold=options.threshold), Values.named(names, 2)
    if not all(word.isdigit() for word in options.ignore):
        raise ConfigError(f'--ignore {" ".join(options.ignore)}: give label values')
    values = Values.named(
        options.classes, options.num_classes, ignore=[int(word) for word in options.ignore]
    )
    return partial(partial, read_values, values=values), values


def _number_colours(
    rows: list[tuple[str, tuple[int, int, int]]], options: MaskOptions
) -> tuple[Colours, Values]:
    """Labels 0, 1, ... in the order of the table; ignored names become 255."""
    unknown = [name for name in options.ignore if name not in [row[0] for row in rows]]
    if unknown:
        raise ConfigError(f'--ignore {unknown[0]}: {options.colours} has no such name')
    kept = [row for row in rows if row[0] not in options.ignore]
    numbers = {row: k for k, row in enumerate(kept)}
    table = tuple((colour, numbers.get((name, colour), 255)) for name, colour in rows)
    if len({colour for colour, _ in table}) < len(table):
        raise DataError(f'{options.colours} lists a colour twice')
    names = tuple(name or f'class_{k}' for k, (name, _) in enumerate(kept))
    return table, Values(names, tuple(colour for _, colour in kept))


def _find_kind(options: MaskOptions, files: list[Path]) -> str:
    """What some of the label pictures hold."""
    if options.colours:
        return 'colours'
    step = max(1, len(files) // _SAMPLED)
    found: set[int] = set()
    for path in files[::step]:
        values = read_picture(path)
        if values.ndim == 3 and (values[..., :3] != values[..., :1]).any():
            return 'colours'
        found |= set(np.unique(values).tolist())
    return 'binary' if found == {0, 255} or found == {False, True} else 'numbers'


def _folder(src: Path, given: str, names: tuple[str, ...], what: str, flag: str) -> Path:
    for name in [given] if given else names:
        if (src / name).is_dir():
            return src / name
    if not given and any((src / split).is_dir() for split in SPLITS):
        # train/images, val/images, ...: the split comes first
        for name in names:
            if any((src / split / name).is_dir() for split in SPLITS):
                return src / f'*{name}'
    raise DataError(f'{src} has no folder of {what} ({", ".join(names)}): name it with {flag}')


def _by_split(folder: Path) -> dict[str, dict[str, Path]]:
    """Split ('' without) -> name -> file; names hold their sub-folders, joined by ``_``."""
    if folder.name.startswith('*'):
        found = {s: folder.parent / s / folder.name[1:] for s in SPLITS}
    else:
        found = {s: folder / s for s in SPLITS}
    if not any(path.is_dir() for path in found.values()):
        return {'': by_stem(walk_files(folder))}
    return {s: by_stem(walk_files(path)) for s, path in found.items() if path.is_dir()}


def _without_ending(files: dict[str, Path], ending: str) -> dict[str, Path]:
    return {name.removesuffix(ending): path for name, path in files.items()}
