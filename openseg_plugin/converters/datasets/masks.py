"""Your own label images in folders: class numbers, colors with a table, or black and white.

Images and labels lie in two folders, with the same names (apart from an ending such as
``_mask``), or side by side; folders train, val and test in either order give the splits.
Exports of CVAT (``labelmap.txt``) and Roboflow (``_classes.csv``) are read as they are.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from openseg_plugin.converters.datasets.core.layouts import Layout, Names, find_layout
from openseg_plugin.converters.datasets.core.pairs import (
    VAL_FRACTION,
    Maker,
    Pairs,
    merge_table,
    names_of,
    note_similar,
)
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED, Plan, converter, option
from openseg_plugin.converters.datasets.core.survey import (
    Reading,
    choose_reading,
    describe_colors,
    examine,
    is_alpha_set,
    may_be_alpha,
)
from openseg_plugin.converters.datasets.core.values import (
    Color,
    Row,
    Values,
    note_ids,
    read_binary,
    read_class_values,
    read_color_table,
    read_colors,
    read_values,
)
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils.files import SPLITS

# Tables that programs put beside the folders of images and labels.
_TABLES = ('labelmap.txt', 'class_dict.csv', 'label_colors.txt')
_CLASS_VALUES = '_classes.csv'

Colors = tuple[tuple[Color, int], ...]


@dataclass(frozen=True)
class MaskOptions:
    """Options of the converter for folders of label images."""

    kind: Literal['auto', 'numbers', 'colors', 'binary'] = option(
        'auto', 'what label images hold: class numbers, colors, or 0 and 255'
    )
    colors: str = option(
        '', 'color table: lines "R G B name" (or "name R G B", "#rrggbb name", CSV), or JSON'
    )
    classes: tuple[str, ...] = option((), 'class names in label order')
    num_classes: int = option(0, 'number of classes; larger values are an error')
    ignore: tuple[str, ...] = option((), 'label values, or names of the table, that become 255')
    remap: tuple[str, ...] = option(
        (), 'kind numbers: VALUE:CLASS pairs; values that are not named become 255'
    )
    threshold: float = option(0.0, 'kind binary: values from here on are class 1')
    image_folder: str = option('', 'folder of the images below SRC (default: found by its name)')
    label_folder: str = option('', 'folder of the label images below SRC')
    label_suffix: str = option('', 'what a label is called more than its image, such as _mask')
    label_prefix: str = option('', 'what stands in front of the name of a label, such as mask_')
    merge_names: bool = option(False, 'names that differ only in case or blanks are one class')
    val_fraction: float = option(0.0, VAL_FRACTION)


@converter('masks', MaskOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: MaskOptions, splits: tuple[str, ...]) -> Plan:
    """Your own label images: class numbers, colors with a table, or 0/255 masks."""
    layout = find_layout(
        src,
        image_folder=options.image_folder,
        label_folder=options.label_folder,
        names=Names(options.label_prefix, options.label_suffix),
    )
    label_files = [path for part in layout.parts for path in part.labels.values()]
    if not label_files:
        raise DataError(
            f'{src} has no label images that are called like its images: give what they are called '
            'more with --label-suffix or --label-prefix'
        )
    pairs = Pairs(notices=[*_note_names(layout), *layout.notices])
    found, read = _with_tables(src, layout, options, pairs.notices)
    reading = _choose_reading(found, label_files)
    if reading.why:
        pairs.notices.append(reading.why)
    if options.remap and reading.kind != 'numbers':
        raise ConfigError(
            f'--remap is for class numbers, not for --kind {reading.kind}: leave one out'
        )
    make, values = _maker(reading, found, label_files, pairs.notices)
    if not values.names:
        pairs.notices.append('the classes have no names yet: give them with --classes')
    _add_pairs(pairs, layout, make, options)
    return Plan(
        pairs.samples,
        values.names,
        values.palette,
        notices=tuple(pairs.notices),
        read=[*read, *layout.read],
    )


def _add_pairs(pairs: Pairs, layout: Layout, make: Maker, options: MaskOptions) -> None:
    if options.val_fraction and all(part.split != UNDIVIDED for part in layout.parts):
        pairs.notices.append(
            f'--val-fraction {options.val_fraction:g} is ignored: folders name the splits'
        )
    for part in layout.parts:
        keys = sorted(part.images)
        called = dict(zip(keys, names_of([PurePosixPath(f'{key}.x') for key in keys])))
        images = {called[key]: path for key, path in part.images.items()}
        labels = {called[key]: path for key, path in part.labels.items()}
        # test images without any labels are fine
        given = None if part.split == 'test' and not labels else labels
        pairs.add(part.split, images, given, make, names=[called[key] for key in keys])


def _note_names(layout: Layout) -> list[str]:
    if not layout.is_guessed:
        return []
    return [f'labels are called more than their images, taken as {layout.names}']


def _with_tables(
    src: Path, layout: Layout, options: MaskOptions, notices: list[str]
) -> tuple[MaskOptions, list[Path]]:
    """Options with the tables that lie in the source, where the user gave none; and these files."""
    if options.colors:
        return options, [Path(options.colors)]
    if options.kind in ('auto', 'colors'):
        for name in _TABLES:
            path = next((p / name for p in (layout.root, src) if (p / name).is_file()), None)
            if path is not None:
                notices.append(f'classes and colors are those of {path}')
                return replace(options, colors=str(path)), [path]
    options = replace(options, classes=tuple(name.strip() for name in options.classes))
    files = sorted(layout.root.rglob(_CLASS_VALUES))
    if not files or options.classes or options.num_classes or options.kind == 'binary':
        return options, files
    tables = {path: read_class_values(path) for path in files}
    first = tables[files[0]]
    for path, table in tables.items():
        if table != first:
            raise DataError(f'{files[0]} and {path} list different classes: export them together')
    if not first or not 0 <= min(first) <= max(first) < 255:
        raise DataError(f'{files[0]} lists no values 0..254')
    names = tuple(first.get(value, f'class_{value}') for value in range(max(first) + 1))
    notices.append(f'classes are those of {files[0]}')
    kind = 'numbers' if options.kind == 'auto' else options.kind
    return replace(options, classes=names, kind=kind), files


def _choose_reading(options: MaskOptions, files: list[Path]) -> Reading:
    """What the user says, or what all of the label images agree on."""
    if options.kind in ('colors', 'binary'):
        facts = []
        if options.kind == 'binary' and any(map(may_be_alpha, files)):
            facts = examine(files)
        return Reading(options.kind, from_alpha=is_alpha_set(facts))
    if options.colors:
        return Reading('colors')
    number = max(len(options.classes), options.num_classes)
    says_numbers = options.kind == 'numbers' or bool(options.remap)
    return choose_reading(
        examine(files), num_classes=number, kind='numbers' if says_numbers else None
    )


def _maker(
    reading: Reading, options: MaskOptions, files: list[Path], notices: list[str]
) -> tuple[Maker, Values]:
    """How label files are read, and the classes."""
    if reading.kind == 'colors':
        if not options.colors:
            why = f'{reading.why}: ' if reading.why else ''
            raise ConfigError(
                f'{why}label images in colors need a table: give it with --colors FILE, in which '
                f'a line is "R G B name"; {describe_colors(files)}'
            )
        table, values = _number_colors(options, notices)
        return partial(partial, read_colors, colors=table), values
    if reading.kind == 'binary':
        names = options.classes or ('background', 'foreground')
        read = partial(read_binary, threshold=options.threshold, from_alpha=reading.from_alpha)
        return partial(partial, read), Values.named(names, 2)
    if not all(word.isdigit() for word in options.ignore):
        raise ConfigError(f'--ignore {" ".join(options.ignore)}: give label values')
    values = Values.named(
        options.classes,
        options.num_classes,
        ignore=[int(word) for word in options.ignore],
        remap=options.remap,
    )
    notices += note_similar(values.names, what='classes')
    return partial(partial, read_values, values=values), values


def _number_colors(options: MaskOptions, notices: list[str]) -> tuple[Colors, Values]:
    """Labels 0, 1, ... in the order of the table; ignored names become 255."""
    rows: list[Row] = read_color_table(Path(options.colors))
    notices += note_ids(Path(options.colors))
    if len({color for _, color in rows}) < len(rows):
        raise DataError(f'{options.colors} lists a color twice')
    unknown = [name for name in options.ignore if name not in [row[0] for row in rows]]
    if unknown:
        raise ConfigError(f'--ignore {unknown[0]}: {options.colors} has no such name')
    kept = [row for row in rows if row[0] not in options.ignore]
    if options.merge_names:
        table = merge_table(name for name, _ in kept if name)
        kept = [(table.get(name, name), color) for name, color in kept]
        first = dict.fromkeys(name for name, _ in kept if name)
        places = {name: k for k, name in enumerate(first)}
        numbers = {c: places[name] if name else len(places) + k for k, (name, c) in enumerate(kept)}
    else:
        numbers = {color: k for k, (_, color) in enumerate(kept)}
        named = [name for name, _ in kept if name]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            notices.append(
                f'{options.colors} gives {twice[0]!r} more than one color, each a class of its '
                'own: give --merge-names to make them one'
            )
        notices += note_similar(named, what='classes')
    if max(numbers.values(), default=0) > 254:
        raise DataError(f'{options.colors} lists more than 255 classes')
    classes: dict[int, Row] = {}
    for name, color in kept:
        number = numbers[color]
        classes.setdefault(number, (name or f'class_{number}', color))
    ordered = [classes[number] for number in sorted(classes)]
    values = Values(tuple(n for n, _ in ordered), tuple(c for _, c in ordered))
    return tuple((color, numbers.get(color, 255)) for _, color in rows), values
