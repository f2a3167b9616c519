"""Colour tables of users' own label pictures."""

import json
import re
from pathlib import Path

from openseg_plugin.converters.datasets.core.find import read_lines
from openseg_plugin.errors import DataError

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
