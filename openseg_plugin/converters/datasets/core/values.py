"""Turning the values or colors of users' own label images into class numbers.

The classes come as options or in a table beside the images, whose colors may have any common form.
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.core.find import read_lines, read_text
from openseg_plugin.converters.datasets.core.images import apply_table, check_values
from openseg_plugin.converters.datasets.core.pairs import class_palette
from openseg_plugin.converters.datasets.core.plan import Palette
from openseg_plugin.converters.datasets.core.survey import open_label
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils.images import class_numbers

_IGNORE = 255


@dataclass(frozen=True)
class Values:
    """What the values of label files mean.

    Attributes:
        names: class names, index = label.
        palette: one color per class.
        last: highest value that may occur; 255 if unknown.
        ignore: values that become 255.
        remap: (value, label) pairs; where there are any, all other values become 255.
    """

    names: tuple[str, ...]
    palette: Palette
    last: int = _IGNORE
    ignore: tuple[int, ...] = ()
    remap: tuple[tuple[int, int], ...] = ()

    @classmethod
    def named(
        cls,
        names: Sequence[str],
        number: int = 0,
        *,
        ignore: Sequence[int] = (),
        remap: Sequence[str] = (),
    ) -> 'Values':
        """Values 0 .. number - 1 with these names; without names and number any value may occur.

        Raises:
            ConfigError: names and number contradict each other, an ignored value is a class, or
                ``remap`` is not of the form VALUE:CLASS.
        """
        pairs = tuple(_value_pair(text) for text in remap)
        if names and number and len(names) != number:
            raise ConfigError(f'--classes names {len(names)} classes, --num-classes says {number}')
        number = number or len(names) or 1 + max((label for _, label in pairs), default=-1)
        if number > _IGNORE or any(not 0 <= value <= _IGNORE for value in ignore):
            raise ConfigError('at most 255 classes are possible, with values 0..255')
        names = tuple(names) or tuple(f'class_{k}' for k in range(number))
        last = number - 1 if number else _IGNORE
        return cls(names, class_palette(number), last, tuple(ignore), pairs)


def _value_pair(text: str) -> tuple[int, int]:
    """'7:0' -> (7, 0)."""
    words = text.split(':')
    if len(words) != 2 or not all(w.isdigit() and int(w) <= _IGNORE for w in words):
        raise ConfigError(f'--remap {text}: give VALUE:CLASS, such as 7:0, of numbers 0..255')
    return int(words[0]), int(words[1])


def read_values(path: Path, values: Values) -> np.ndarray:
    """Class numbers of a gray or palette image: (H, W) uint8.

    Raises:
        DataError: it cannot be read or holds a value that is no class.
    """
    file = open_label(path)
    raw = file.numbers()
    if raw is None:
        raise DataError(
            f'{path} is a color image ({file.pixels.shape[-1]} channels) where one number per '
            'pixel is needed: give a table with --colors FILE'
        )
    if file.pixels.dtype == bool:
        raw = file.pixels
    if np.issubdtype(raw.dtype, np.floating) and (raw != np.round(raw)).any():
        raise DataError(f'{path} holds numbers with fractions: class numbers are needed')
    if file.is_lossy and raw.size and raw.min() != raw.max():
        raise DataError(
            f'{path} is a {file.format}, which changes class numbers: save labels as PNG, or for '
            'black and white masks give --kind binary --threshold 128'
        )
    label = class_numbers(raw, path)
    if values.remap:
        table = np.full(256, _IGNORE, np.uint8)
        table[[raw for raw, _ in values.remap]] = [label for _, label in values.remap]
        label = apply_table(label, table)
    if values.ignore:
        table = np.arange(256, dtype=np.uint8)
        table[list(values.ignore)] = _IGNORE
        label = apply_table(label, table)
    if values.last < _IGNORE:
        what = f'{len(values.names)} classes'
        check_values(label, last=values.last, path=path, what=what)
    return label


def read_binary(path: Path, *, threshold: float, from_alpha: bool = False) -> np.ndarray:
    """Classes 0 and 1 of a black and white mask: (H, W) uint8.

    Args:
        path: the mask, one channel or several equal ones.
        threshold: values from here on are 1; 0: only 0 and the highest value may occur.
        from_alpha: the mask is the opacity.

    Raises:
        DataError: it cannot be read, has colors, values in between, or none near the threshold.
    """
    file = open_label(path)
    mask = file.alpha() if from_alpha else file.numbers(by_color=True)
    if mask is None:
        what = 'no opacity over one color' if from_alpha else 'colors'
        raise DataError(f'{path} has {what}; a black and white mask is needed')
    highest = mask.max() if mask.size else 0
    if threshold:
        if 0 < highest <= 1 < threshold:
            raise DataError(
                f'{path} holds values from 0 to {highest:g}, all below --threshold {threshold:g}: '
                'give one below 1, such as 0.5'
            )
        return (mask >= threshold).astype(np.uint8)
    white = 255 if highest <= 255 else np.iinfo(np.uint16).max
    wrong = mask[(mask != 0) & (mask != white)]
    if wrong.size:
        hint = '--threshold 0.5 if they are probabilities'
        if highest > 1:
            hint = '--kind binary --threshold 128 if they are blurred borders'
        raise DataError(
            f'{path} has {wrong.size} pixels that are neither 0 nor {white} (the first is '
            f'{wrong[0]:g}): give {hint}'
        )
    return (mask == white).astype(np.uint8)


def read_colors(path: Path, colors: tuple[tuple[tuple[int, int, int], int], ...]) -> np.ndarray:
    """Class numbers of a color image (also of a palette image's colors): (H, W) uint8.

    Args:
        path: the image.
        colors: ((R, G, B), label) pairs.

    Raises:
        DataError: it cannot be read or has a color that is not in the table; says which and where.
    """
    packed = _packed(open_label(path).rgb())
    table = np.array([_pack(*color) for color, _ in colors], np.int32)
    labels = np.array([label for _, label in colors], np.uint8)
    order = np.argsort(table)
    place = np.searchsorted(table[order], packed).clip(max=len(table) - 1)
    found = order[place]
    wrong = table[found] != packed
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        color = tuple(int(packed[y, x]) >> shift & 255 for shift in (16, 8, 0))
        raise DataError(
            f'{path} has {int(wrong.sum())} pixels with colors that the table does not list, the '
            f'first at x={x}, y={y}: {color}; was the file saved as JPEG or resized?'
        )
    return labels[found]


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Colors as numbers, (H, W) int32."""
    wide = rgb.astype(np.int32)
    return _pack(wide[..., 0], wide[..., 1], wide[..., 2])


def _pack(red: Any, green: Any, blue: Any) -> Any:
    return red << 16 | green << 8 | blue


Color = tuple[int, int, int]
Row = tuple[str, Color]

_HEX = re.compile(r'#?([0-9a-fA-F]{6})$')
_FRACTION = re.compile(r'\.0*$')  # some programs write 128.0
_NOT_IN_NUMBERS = re.compile(r'[\s,;]+')
_LABELMAP = re.compile(r'(?P<name>[^:]*):\s*(?P<color>\d+\s*,\s*\d+\s*,\s*\d+)\s*(:|$)')
# What the columns of tables are called, in lower case and without blanks and signs.
_COLUMNS = {
    'red': ('r', 'red'),
    'green': ('g', 'green'),
    'blue': ('b', 'blue'),
    'hex': ('hex', 'colour', 'color', 'rgb', 'hexcolor', 'hexcolour'),
    'name': ('name', 'class', 'label', 'classname', 'labelname', 'category', 'title'),
    'id': ('id', 'index', 'value', 'pixelvalue', 'classid', 'labelid', 'trainid', 'no'),
}


_LISTS = ('classes', 'labels', 'categories', 'colors')  # what lists are called in JSON tables


def read_color_table(path: Path) -> list[Row]:
    """(name, (R, G, B)) of a color table in the order of the classes.

    That is the order of the file, or of its column of ids. Lines are ``R G B name``, ``name R G
    B``, ``#rrggbb name`` or CVAT's ``name:R,G,B::``; a CSV table may name its columns.

    Raises:
        DataError: the file cannot be read, or a line or entry is no color.
    """
    if path.suffix.lower() == '.json':
        return _read_json_table(path)
    lines = [(number, line) for number, line in read_lines(path) if not _is_comment(line)]
    if not lines:
        raise DataError(f'{path} lists no colors')
    header = _header(_words(lines[0][1]))
    if header:
        return _read_columns(path, lines[1:], header)
    numbered = _are_numbered([_words(line) for _, line in lines])
    rows = []
    for number, line in lines:
        row = _row(line, numbered)
        if row is not None:
            rows.append(row)
        elif number > 1 or re.search(r'\d', line):  # the first line may be a header
            raise DataError(f'{path}, line {number}: {line!r} is no "R G B name"')
    if not rows:
        raise DataError(f'{path} lists no colors')
    return rows


def note_ids(path: Path) -> tuple[str, ...]:
    """Notice of a table whose ids are not the class numbers, which go without gaps from 0."""
    lines = [] if path.suffix.lower() == '.json' else read_lines(path)
    rows = [_words(line) for _, line in lines if not _is_comment(line)]
    place = (_header(rows[0]) or {}).get('id') if rows else None
    if place is None:
        return ()
    ids = sorted(int(row[place]) for row in rows[1:] if place < len(row) and row[place].isdigit())
    if ids == list(range(len(ids))):
        return ()
    return (f'the ids of {path} are not 0, 1, 2, ...: classes are numbered in their order from 0',)


def read_class_values(path: Path) -> dict[int, str]:
    """Value -> class name of a CSV table with a header such as ``Pixel Value, Class``.

    Raises:
        DataError: it is no such table.
    """
    rows = list(csv.reader(read_text(path).splitlines()))
    header = _header(rows[0]) if rows else None
    if header is None or not {'id', 'name'} <= header.keys():
        raise DataError(f'{path} has no columns such as "Pixel Value, Class"')
    found: dict[int, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        try:
            found[int(row[header['id']])] = row[header['name']].strip()
        except (ValueError, IndexError) as error:
            raise DataError(f'{path}, line {number}: {row} has no value and name') from error
    return found


def _is_comment(line: str) -> bool:
    return line.startswith(('# ', '//')) or (line.startswith('#') and not _HEX.match(line[:7]))


def _words(line: str) -> list[str]:
    mark = next((mark for mark in ('\t', ';', ',') if mark in line), None)
    if mark is None:
        return [word.strip('"') for word in line.split()]
    cells = next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
    return [cell.strip().strip('"') for cell in cells]


def _header(words: list[str]) -> dict[str, int] | None:
    """Kind of column -> its place, or None where the words are no header of a table."""
    plain = [re.sub(r'[^a-z]', '', word.lower()) for word in words]
    found = {
        kind: plain.index(name)
        for kind, names in _COLUMNS.items()
        for name in names[::-1]
        if name in plain
    }
    has_color = {'red', 'green', 'blue'} <= found.keys() or 'hex' in found
    is_table = has_color or {'id', 'name'} <= found.keys()
    return found if is_table and not any(word.isdigit() for word in words) else None


def _read_columns(path: Path, lines: list[tuple[int, str]], header: dict[str, int]) -> list[Row]:
    """Rows of a table with named columns, in the order of their ids where there are any."""
    if 'red' not in header and 'hex' not in header:
        raise DataError(f'{path} has no columns r, g, b')
    rows: list[tuple[int, Row]] = []
    for position, (number, line) in enumerate(lines):
        words = _words(line)
        try:
            if 'red' in header:
                color = _color([words[header[key]] for key in ('red', 'green', 'blue')])
            else:
                color = _color_of_cell(words[header['hex']])
            name = words[header['name']] if 'name' in header else ''
            order = int(words[header['id']]) if 'id' in header else position
        except (IndexError, ValueError) as error:
            raise DataError(f'{path}, line {number}: {line!r} is no color ({error})') from error
        rows.append((order, (name, color)))
    if not rows:
        raise DataError(f'{path} lists no colors')
    if len({order for order, _ in rows}) == len(rows):
        rows.sort(key=lambda item: item[0])
    return [row for _, row in rows]


def _are_numbered(lines: list[list[str]]) -> bool:
    """Whether the lines begin with running numbers that belong to no color."""
    split = [word for words in lines for word in words[:1]]
    if len(lines) < 2 or not all(word.isdigit() for word in split):
        return False
    numbers = [int(word) for word in split]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 1:
        return False
    rest = [_named_color(words[1:]) for words in lines]
    return all(row is not None and row[0] for row in rest)


def _row(line: str, numbered: bool) -> Row | None:
    """Name and color of a line without header, whichever comes first; None if it is neither."""
    match = _LABELMAP.match(line)
    if match:
        words = match['color'].split(',')
        is_color = all(int(word) < 256 for word in words)
        return (match['name'].strip(), _color(words)) if is_color else None
    words = [word for word in re.split(r'[\s,;]+', line) if word]
    return _named_color(words[1:] if numbered else words)


def _named_color(words: list[str]) -> Row | None:
    for color, name in ((words[:3], words[3:]), (words[-3:], words[:-3])):
        if len(color) == 3 and all(word.isdigit() and int(word) < 256 for word in color):
            return ' '.join(name), _color(color)
    for color, name in ((words[:1], words[1:]), (words[-1:], words[:-1])):
        if color and _HEX.match(color[0]) and name:
            return ' '.join(name), _hex_color(color[0])
    return None


def _color(values: Any) -> Color:
    red, green, blue = (int(_FRACTION.sub('', str(value))) for value in values)
    if not all(0 <= value < 256 for value in (red, green, blue)):
        raise ValueError(f'{values} is no color')
    return red, green, blue


def _color_of_cell(text: str) -> Color:
    """``#804080``, ``(128, 64, 128)``, ``[128 64 128]`` or ``128,64,128``."""
    if _HEX.match(text.strip()):
        return _hex_color(text)
    return _color(_NOT_IN_NUMBERS.split(text.strip(' ()[]{}')))


def _hex_color(word: str) -> Color:
    match = _HEX.match(word.strip())
    if not match:
        raise ValueError(f'{word!r} is no #rrggbb')
    return _color(bytes.fromhex(match[1]))


def _read_json_table(path: Path) -> list[Row]:
    """Rows of ``{"name": [R, G, B]}``, or a list of pairs or of objects with name and color.

    The list may lie under a key, as in the files of annotation programs.
    """
    try:
        content = json.loads(read_text(path))
        if isinstance(content, dict):
            lists = [content[key] for key in _LISTS if isinstance(content.get(key), list)]
            if lists and isinstance((lists[0] or [None])[0], dict):
                content = lists[0]
        pairs = content.items() if isinstance(content, dict) else [_pair(x) for x in content]
        rows = [(str(name).strip(), _json_color(color)) for name, color in pairs]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f'{path} is no table {{"name": [R, G, B], ...}}: {error}') from error
    if not rows:
        raise DataError(f'{path} lists no colors')
    return rows


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, dict):
        name, color = item
        return name, color
    found = {kind: item[k] for kind, names in _COLUMNS.items() for k in names if k in item}
    if {'red', 'green', 'blue'} <= found.keys():
        return found['name'], [found[kind] for kind in ('red', 'green', 'blue')]
    if not {'name', 'hex'} <= found.keys():
        raise ValueError(f'{item!r:.60} has no name and color')
    return found['name'], found['hex']


def _json_color(value: Any) -> Color:
    return _color_of_cell(value) if isinstance(value, str) else _color(value)
