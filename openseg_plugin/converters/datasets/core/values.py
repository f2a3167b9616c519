"""Turning the values or colours of users' own label images into class numbers.

Colour tables of users' own label images.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from openseg_plugin.converters.datasets.core.find import read_lines
from openseg_plugin.converters.datasets.core.images import (
    apply_table,
    check_values,
    read_image,
    read_label,
)
from openseg_plugin.converters.datasets.core.pairs import distinct_colours
from openseg_plugin.converters.datasets.core.plan import Palette
from openseg_plugin.errors import ConfigError, DataError

_HEX = re.compile(r'#?([0-9a-fA-F]{6})$')


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
    for number, line in read_lines(path):
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


_IGNORE = 255
_FOREGROUND = 255


@dataclass(frozen=True)
class Values:
    """What the values of label files mean.

    Attributes:
        names: class names, index = label.
        palette: one colour per class.
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
        return cls(names, distinct_colours(number), last, tuple(ignore), pairs)


def _value_pair(text: str) -> tuple[int, int]:
    """'7:0' -> (7, 0)."""
    words = text.split(':')
    if len(words) != 2 or not all(w.isdigit() and int(w) <= _IGNORE for w in words):
        raise ConfigError(f'--remap {text}: give VALUE:CLASS, such as 7:0, of numbers 0..255')
    return int(words[0]), int(words[1])


def read_values(path: Path, values: Values) -> np.ndarray:
    """Class numbers of a grey or palette image: (H, W) uint8.

    Raises:
        DataError: it cannot be read or holds a value that is no class.
    """
    label = read_label(path)
    if values.remap:
        table = np.full(256, _IGNORE, np.uint8)
        table[[raw for raw, _ in values.remap]] = [label for _, label in values.remap]
        label = apply_table(label, table)
    if values.ignore:
        table = np.arange(256, dtype=np.uint8)
        table[list(values.ignore)] = _IGNORE
        label = apply_table(label, table)
    if values.last < _IGNORE:
        check_values(label, last=values.last, path=path, what=f'{len(values.names)} classes')
    return label


def read_binary(path: Path, *, threshold: int) -> np.ndarray:
    """Classes 0 and 1 of a black and white mask: (H, W) uint8.

    Args:
        path: the mask, one channel or several equal ones.
        threshold: values from here on are 1; 0: only 0 and 255 may occur.

    Raises:
        DataError: it cannot be read, has colours, or other values than 0 and 255.
    """
    mask = read_image(path)
    if mask.dtype == bool:
        return mask.astype(np.uint8)
    if mask.ndim == 3:
        colours = mask[..., :3] if mask.shape[2] > 2 else mask[..., :1]
        if (colours != colours[..., :1]).any():
            raise DataError(f'{path} has colours; a black and white mask is needed')
        mask = colours[..., 0]
    if threshold:
        return (mask >= threshold).astype(np.uint8)
    wrong = mask[(mask != 0) & (mask != _FOREGROUND)]
    if wrong.size:
        raise DataError(
            f'{path} has {wrong.size} pixels that are neither 0 nor 255 (the first is {wrong[0]}): '
            'give --threshold 128 if they are blurred borders'
        )
    return (mask == _FOREGROUND).astype(np.uint8)


def read_colours(path: Path, colours: tuple[tuple[tuple[int, int, int], int], ...]) -> np.ndarray:
    """Class numbers of a colour image (also of a palette image's colours): (H, W) uint8.

    Args:
        path: the image.
        colours: ((R, G, B), label) pairs.

    Raises:
        DataError: it cannot be read or has a colour that is not in the table; says which and where.
    """
    packed = _packed(_rgb(path))
    table = np.array([_pack(*colour) for colour, _ in colours], np.int32)
    labels = np.array([label for _, label in colours], np.uint8)
    order = np.argsort(table)
    place = np.searchsorted(table[order], packed).clip(max=len(table) - 1)
    found = order[place]
    wrong = table[found] != packed
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        colour = tuple(int(packed[y, x]) >> shift & 255 for shift in (16, 8, 0))
        raise DataError(
            f'{path} has {int(wrong.sum())} pixels with colours that the table does not list, the '
            f'first at x={x}, y={y}: {colour}; was the file saved as JPEG or resized?'
        )
    return labels[found]


def _rgb(path: Path) -> np.ndarray:
    with_palette = read_image(path)
    if with_palette.ndim == 3 and with_palette.shape[2] >= 3:
        return with_palette[..., :3]
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Colours as numbers, (H, W) int32."""
    wide = rgb.astype(np.int32)
    return _pack(wide[..., 0], wide[..., 1], wide[..., 2])


def _pack(red, green, blue):
    return red << 16 | green << 8 | blue
