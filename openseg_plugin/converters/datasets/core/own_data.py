"""What the converters for users' own pictures share: splits, class lists and colours."""

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path

from openseg_plugin.converters.datasets.core.find import PICTURES, read_names, walk_files
from openseg_plugin.converters.datasets.core.pairs import divide
from openseg_plugin.converters.datasets.core.plan import Palette
from openseg_plugin.errors import DataError

BACKGROUND = '_background_'
IGNORE = '__ignore__'
SPLITS = ('train', 'val', 'test')
VAL_EVERY = 'every n-th picture goes to split val, the others to train; 0: all to train'


def split_names(names: Sequence[str], val_every: int) -> dict[str, str]:
    """Name -> split, by the place of the name in the list."""
    parts = divide(names, val_every)
    return {name: split for split, members in parts.items() for name in members}


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names of a text file, one per line, without ``__ignore__``; background comes first.

    Raises:
        DataError: the file is missing, empty, or names a class twice.
    """
    names = [name for name in read_names(path) if name != IGNORE]
    if not names:
        raise DataError(f'{path} names no class')
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f'{path} names {twice[0]} twice')
    if BACKGROUND in names and names[0] != BACKGROUND:
        raise DataError(f'{path}: {BACKGROUND} must be the first class')
    return tuple(names if names[0] == BACKGROUND else [BACKGROUND, *names])


def index_pictures(root: Path) -> dict[str, list[Path]]:
    """File name (lower case) -> the pictures below ``root`` of that name."""
    found: dict[str, list[Path]] = {}
    for path in walk_files(root, PICTURES):
        found.setdefault(path.name.lower(), []).append(path)
    return found


def find_picture(
    reference: str, *, near: Path, root: Path, index: Mapping[str, list[Path]]
) -> Path | None:
    """The picture that an annotation file names, wherever it lies now.

    Args:
        reference: path as written, perhaps on another machine.
        near: folder of the annotation file.
        root: folder of the data.
        index: from :func:`index_pictures`.

    Raises:
        DataError: several pictures have that name.
    """
    parts = Path(reference.replace('\\', '/')).parts
    for base in (near, root):
        if parts and (base / Path(*parts)).is_file() and '..' not in parts:
            return base / Path(*parts)
    found = index.get(parts[-1].lower(), []) if parts else []
    # of several, the one that shares the most folder names with the reference
    for length in range(len(parts), 0, -1):
        same = [path for path in found if path.parts[-length:] == parts[-length:]]
        if len(same) == 1:
            return same[0]
        if len(same) > 1:
            raise DataError(f'{reference} may be {same[0]} or {same[1]}: rename one of them')
    return found[0] if len(found) == 1 else None


def distinct_colours(number: int) -> Palette:
    """Black for class 0 and clearly different colours for the others, always the same ones."""
    colours = [(0, 0, 0)]
    for k in range(1, number):
        # Steps of the golden ratio keep neighbours in the list apart.
        hue, value = (k * 0.618034) % 1, 1 - 0.25 * (k // 8 % 3)
        colours.append(tuple(round(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.85, value)))
    return tuple(colours[:number])
