"""Finding folders and files of a release, however it was unpacked."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from openseg_plugin.converters.datasets.core import summary
from openseg_plugin.converters.datasets.core.annotation_files import decode_text
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS

# Files that systems put into folders; nobody's data.
_SYSTEM_FILES = {'thumbs.db', 'desktop.ini'}


def find_folders(root: Path, name: str, *, depth: int = 3) -> list[Path]:
    """All folders called ``name`` (parts with slashes are fine) at most ``depth`` levels down.

    A folder that lies nearer to the root comes first. Converted folders are not looked into.
    """
    return [folder / name for folder in _levels(root, depth) if (folder / name).is_dir()]


def find_folder(root: Path, *names: str, needed: str = '', depth: int = 3) -> Path:
    """The first folder with one of these names.

    Raises:
        DataError: there is none; says what was looked for.
    """
    for name in names:
        found = find_folders(root, name, depth=depth)
        if found:
            return found[0]
    wanted = ' or '.join(f'{name}/' for name in names)
    raise DataError(f'{root} has no folder {wanted}{": " if needed else ""}{needed}')


def find_file(root: Path, *names: str, depth: int = 3, needed: str = '') -> Path:
    """The first file with one of these names, nearest to the root.

    Raises:
        DataError: there is none.
    """
    for folder in _levels(root, depth):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise DataError(f'{root} has no {" or ".join(names)}{": " if needed else ""}{needed}')


def is_there(path: Path, *, folder: bool = False) -> bool:
    """Whether a file, or a folder, is there; no name that an annotation file says is an error."""
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):  # too long, or with characters that no name has
        return False


def find_named(src: Path, *names: str) -> Path | None:
    """The first file of one of these names directly in a folder, or beside a file; else None."""
    folder = src if src.is_dir() else src.parent
    return next((folder / name for name in names if (folder / name).is_file()), None)


def list_files(folder: Path, suffixes: Iterable[str] = IMAGE_ENDINGS) -> list[Path]:
    """Files of a folder with one of the endings (lower case), sorted by name."""
    endings = tuple(suffixes)
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(endings)
            and not entry.name.startswith('.')
            and entry.is_file()
        ]
    return [folder / name for name in sorted(names)]


def walk_files(root: Path, suffixes: Iterable[str] = IMAGE_ENDINGS) -> list[Path]:
    """Files below a folder with one of the endings, sorted; converted folders are left out."""
    endings = tuple(suffixes)
    found = []
    seen = {os.path.realpath(root)}
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [
            sub
            for sub in sorted(subfolders)
            if not sub.startswith('.') and not _is_converted(Path(folder, sub))
        ]
        # links to folders are followed, but no folder is visited twice
        real = {sub: os.path.realpath(os.path.join(folder, sub)) for sub in subfolders}
        subfolders[:] = [sub for sub in subfolders if real[sub] not in seen]
        seen.update(real.values())
        found += [
            Path(folder, name)
            for name in names
            if name.lower().endswith(endings)
            and not name.startswith('.')
            and name.lower() not in _SYSTEM_FILES
        ]
    return sorted(found)


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Name without ending -> file.

    Raises:
        DataError: two files have the same stem.
    """
    found: dict[str, Path] = {}
    for file in files:
        other = found.setdefault(file.stem, file)
        if other != file:
            raise DataError(f'{file} and {other} have the same name: rename one of them')
    return found


def read_names(path: Path) -> list[str]:
    """Lines of a list file without blanks and without empty lines.

    Raises:
        DataError: the file is missing or is not text.
    """
    return [text for _, text in read_lines(path)]


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Number, from 1, and text of the lines of a list file that are not empty.

    Raises:
        DataError: the file is missing or is not text.
    """
    try:
        text = decode_text(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise DataError(f'list file {path} is missing') from error
    except OSError as error:
        raise DataError(f'list file {path} cannot be read: {error.strerror}') from error
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _levels(root: Path, depth: int) -> Iterator[Path]:
    """The root and the folders below it, level by level."""
    level = [root]
    for step in range(depth + 1):
        yield from level
        if step < depth:
            level = [sub for folder in level for sub in _subfolders(folder)]


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith('.')]
    except OSError as error:
        raise DataError(f'folder {folder} cannot be read: {error.strerror}') from error
    return [folder / name for name in sorted(names) if not _is_converted(folder / name)]


def _is_converted(folder: Path) -> bool:
    return summary.is_converted(folder)
