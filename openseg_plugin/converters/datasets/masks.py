"""Your own label images in folders: class numbers, colours with a table, or black and white.

Images and labels lie in two folders, with the same names (apart from an ending such as
``_mask``); sub-folders train, val and test in either order give the splits.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_plugin.converters.datasets.core.find import walk_files
from openseg_plugin.converters.datasets.core.images import read_image
from openseg_plugin.converters.datasets.core.pairs import SPLITS, VAL_EVERY, Maker, Pairs, divide
from openseg_plugin.converters.datasets.core.plan import Plan
from openseg_plugin.converters.datasets.core.registry import converter, option
from openseg_plugin.converters.datasets.core.values import (
    Values,
    read_binary,
    read_colour_table,
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

Colours = tuple[tuple[tuple[int, int, int], int], ...]


@dataclass(frozen=True)
class MaskOptions:
    """Options of the converter for folders of label images."""

    kind: Literal['auto', 'numbers', 'colours', 'binary'] = option(
        'auto', 'what label images hold: class numbers, colours, or 0 and 255'
    )
    colours: str = option(
        '', 'colour table: lines "R G B name" (or "name R G B", "#rrggbb name", CSV), or JSON'
    )
    classes: tuple[str, ...] = option((), 'class names in label order')
    num_classes: int = option(0, 'number of classes; larger values are an error')
    ignore: tuple[str, ...] = option((), 'label values, or names of the table, that become 255')
    remap: tuple[str, ...] = option(
        (), 'kind numbers: VALUE:CLASS pairs; values that are not named become 255'
    )
    threshold: int = option(0, 'kind binary: values from here on are class 1')
    image_folder: str = option('', 'folder of the images below SRC (default: found by its name)')
    label_folder: str = option('', 'folder of the label images below SRC')
    label_ending: str = option('', 'what a label is called more than its image, such as _mask')
    val_every: int = option(0, VAL_EVERY)


@converter('masks', MaskOptions, splits=SPLITS, default_splits=())
def plan(src: Path, *, options: MaskOptions, splits: tuple[str, ...]) -> Plan:
    """Your own label images: class numbers, colours with a table, or 0/255 masks."""
    found = {
        split: _files(*folders, options.label_ending)
        for split, folders in _folders(src, options).items()
    }
    label_files = [path for _, labels in found.values() for path in labels.values()]
    if not label_files:
        raise DataError(f'{src} has no label images')
    kind = _find_kind(options, label_files) if options.kind == 'auto' else options.kind
    if options.remap and kind != 'numbers':
        raise ConfigError(f'--remap is for class numbers, not for --kind {kind}: leave one out')
    make, values = _maker(kind, options)
    pairs = Pairs()
    if kind == 'binary' and options.kind == 'auto':
        pairs.notices.append('labels hold only 0 and 255: taken as 0/255 masks (--kind binary)')
    if not values.names:
        pairs.notices.append('the classes have no names yet: give them with --classes')
    if options.val_every and '' not in found:
        pairs.notices.append(f'--val-every {options.val_every} is ignored: folders name the splits')
    for split, (images, labels) in found.items():
        names = sorted(images)
        parts = {split: names} if split else divide(names, options.val_every)
        for name, members in parts.items():
            if members and (not splits or name in splits):
                chosen = {m: labels[m] for m in members if m in labels}
                # test images without any labels are fine
                given = None if split == 'test' and not labels else chosen
                pairs.add(name, images, given, make, names=members)
    return Plan(pairs.samples, values.names, values.palette, notices=tuple(pairs.notices))


def _folders(src: Path, options: MaskOptions) -> dict[str, tuple[Path, Path]]:
    """Split -> folders of images and labels; the split '' where folders name none.

    Raises:
        DataError: there are no such folders.
    """
    images = _named(src, options.image_folder, _IMAGE_FOLDERS)
    labels = _named(src, options.label_folder, _LABEL_FOLDERS)
    if images and labels:
        splits = [split for split in SPLITS if (images / split).is_dir()]
        return {s: (images / s, labels / s) for s in splits} or {'': (images, labels)}
    found = {}
    for split in SPLITS:
        images = _named(src / split, options.image_folder, _IMAGE_FOLDERS)
        labels = _named(src / split, options.label_folder, _LABEL_FOLDERS)
        if images and (labels or split == 'test'):
            found[split] = (images, labels or src / split / _LABEL_FOLDERS[0])
    if not found:
        raise DataError(
            f'{src} has no folders of images and labels, such as images/ and labels/: name them '
            'with --image-folder and --label-folder'
        )
    return found


def _named(folder: Path, given: str, names: tuple[str, ...]) -> Path | None:
    paths = (folder / name for name in ([given] if given else names))
    return next((path for path in paths if path.is_dir()), None)


def _files(images: Path, labels: Path, ending: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Name -> image and name -> label; names hold sub-folders, joined by ``_``.

    Where both lie in one folder, a label is told by its ending, or else by being a PNG.
    """
    image_files = walk_files(images)
    label_files = walk_files(labels) if labels.is_dir() else []
    if images == labels:
        is_label = [p.stem.endswith(ending) if ending else p.suffix == '.png' for p in image_files]
        label_files = [p for p, yes in zip(image_files, is_label) if yes]
        image_files = [p for p, yes in zip(image_files, is_label) if not yes]
    return _by_name(image_files, images), {
        name.removesuffix(ending): path for name, path in _by_name(label_files, labels).items()
    }


def _by_name(files: list[Path], folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        name = '_'.join(path.relative_to(folder).with_suffix('').parts)
        other = found.setdefault(name, path)
        if other != path:
            raise DataError(f'{path} and {other} would both be called {name}: rename one of them')
    return found


def _maker(kind: str, options: MaskOptions) -> tuple[Maker, Values]:
    """How label files are read, and the classes."""
    if kind == 'colours':
        if not options.colours:
            raise ConfigError('label images in colours need a table: give it with --colours FILE')
        table, values = _number_colours(read_colour_table(Path(options.colours)), options)
        return partial(partial, read_colours, colours=table), values
    if kind == 'binary':
        names = options.classes or ('background', 'foreground')
        return partial(partial, read_binary, threshold=options.threshold), Values.named(names, 2)
    if not all(word.isdigit() for word in options.ignore):
        raise ConfigError(f'--ignore {" ".join(options.ignore)}: give label values')
    values = Values.named(
        options.classes,
        options.num_classes,
        ignore=[int(word) for word in options.ignore],
        remap=options.remap,
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
    """What some of the label images hold."""
    if options.colours or options.remap:
        return 'colours' if options.colours else 'numbers'
    step = max(1, len(files) // _SAMPLED)
    found: set[int] = set()
    for path in files[::step]:
        try:
            values = read_image(path)
        except DataError:  # said by its sample, so that the others are converted
            continue
        if values.ndim == 3 and (values[..., :3] != values[..., :1]).any():
            return 'colours'
        found |= {255 * int(v) if values.dtype == bool else int(v) for v in np.unique(values)}
    two_at_most = max(len(options.classes), options.num_classes) <= 2
    return 'binary' if two_at_most and 255 in found and found <= {0, 255} else 'numbers'
