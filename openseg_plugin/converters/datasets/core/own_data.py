"""What the converters for users' own pictures share: splits, class lists and colours."""

import colorsys
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from openseg_plugin.converters.datasets.core.find import PICTURES, read_names, walk_files
from openseg_plugin.converters.datasets.core.pairs import divide
from openseg_plugin.converters.datasets.core.plan import Palette
from openseg_plugin.errors import DataError

BACKGROUND = '_background_'
IGNORE = '__ignore__'
SPLITS = ('train', 'val', 'test')
VAL_EVERY = 'every n-th picture goes to split val, the others to train; 0: all to train'
_SPLIT_WORDS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}


def split_names(names: Sequence[str], val_every: int) -> dict[str, str]:
    """Name (perhaps with folders and ending) -> split, by the place of the name in the list."""
    parts = divide(names, val_every, stem=lambda name: PurePosixPath(name).stem)
    return {name: split for split, members in parts.items() for name in members}


def split_in_name(path: Path) -> str | None:
    """The split that a word of a file's name says: instances_train2017 does, latest does not."""
    words = (word.lower() for word in re.findall('[A-Z]?[a-z]+|[A-Z]+', path.stem))
    found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def split_in_folders(path: Path, base: Path) -> str | None:
    """The split that a folder between ``base`` and the file is named after."""
    inside = path.is_relative_to(base)
    folders = path.relative_to(base).parts[:-1] if inside else (path.parent.name,)
    return next(
        (_SPLIT_WORDS[part.lower()] for part in folders if part.lower() in _SPLIT_WORDS), None
    )


def note_named_splits(named: Mapping[Path, str | None], val_every: int) -> tuple[str, ...]:
    """Notice that ``--val-every`` is not for files whose split is said by their name or folder."""
    found = [(path, split) for path, split in named.items() if split]
    if not val_every or not found:
        return ()
    return (
        f'--val-every {val_every} does not divide the pictures of {len(found)} files whose name or '
        f'folder says the split, the first is {found[0][0]}: {found[0][1]}',
    )


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
