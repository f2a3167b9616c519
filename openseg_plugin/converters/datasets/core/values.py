"""Turning the values or colours of users' own label images into class numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.core.images import apply_table, as_label, check_values
from openseg_plugin.converters.datasets.core.pairs import distinct_colours
from openseg_plugin.converters.datasets.core.plan import Palette
from openseg_plugin.converters.datasets.core.survey import open_label
from openseg_plugin.errors import ConfigError, DataError

_IGNORE = 255


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
    file = open_label(path)
    raw = file.numbers()
    if raw is None:
        raise DataError(
            f'{path} is a colour image ({file.pixels.shape[-1]} channels) where one number per '
            'pixel is needed: give a table with --colours FILE'
        )
    if file.pixels.dtype == bool:
        raw = file.pixels
    if np.issubdtype(raw.dtype, np.floating) and (raw != np.round(raw)).any():
        raise DataError(f'{path} holds numbers with fractions: class numbers are needed')
    label = as_label(raw, path)
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
        if file.format == 'JPEG':
            what += ' (it is a JPEG, which changes numbers: save labels as PNG)'
        check_values(label, last=values.last, path=path, what=what)
    return label


def read_binary(path: Path, *, threshold: float, from_alpha: bool = False) -> np.ndarray:
    """Classes 0 and 1 of a black and white mask: (H, W) uint8.

    Args:
        path: the mask, one channel or several equal ones.
        threshold: values from here on are 1; 0: only 0 and the highest value may occur.
        from_alpha: the mask is the opacity.

    Raises:
        DataError: it cannot be read, has colours, values in between, or none near the threshold.
    """
    file = open_label(path)
    mask = file.alpha() if from_alpha else file.numbers(by_colour=True)
    if mask is None:
        what = 'no opacity over one colour' if from_alpha else 'colours'
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


def read_colours(path: Path, colours: tuple[tuple[tuple[int, int, int], int], ...]) -> np.ndarray:
    """Class numbers of a colour image (also of a palette image's colours): (H, W) uint8.

    Args:
        path: the image.
        colours: ((R, G, B), label) pairs.

    Raises:
        DataError: it cannot be read or has a colour that is not in the table; says which and where.
    """
    packed = _packed(open_label(path).rgb())
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


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Colours as numbers, (H, W) int32."""
    wide = rgb.astype(np.int32)
    return _pack(wide[..., 0], wide[..., 1], wide[..., 2])


def _pack(red: Any, green: Any, blue: Any) -> Any:
    return red << 16 | green << 8 | blue
