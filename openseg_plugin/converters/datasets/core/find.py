"""Finding and reading the files of a release, however it was unpacked.

Annotation files are text in any encoding that says what it is, JSON or MATLAB.
"""

import codecs
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.core import summary
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.matlab import MissingArrayError, read_array

# Marks at the start of a file that say how it is encoded; the longer one comes first.
_MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)
# Encodings of older programs, by the codec that tells them apart best.
_OLDER = (('gb2312', 'GBK'), ('shift_jis', 'SHIFT-JIS'), ('euc_kr', 'EUC-KR'), ('gbk', 'GBK'))
_TWO_HIGH_BYTES = re.compile(rb'[\x80-\xff]{2}')
_SURROGATE = re.compile(r'\\u[dD][89a-fA-F]')


def read_text(path: Path) -> str:
    """Content of a text file in UTF-8, or in UTF-16 or UTF-32, without a byte order mark.

    Raises:
        DataError: the file is missing, cannot be read, or has another encoding, which is named.
    """
    try:
        return decode_text(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing') from error
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from error


def decode_text(raw: bytes, path: Path) -> str:
    """The text of a file's bytes; see :func:`read_text`.

    Raises:
        DataError: it is in another encoding; says which one it seems to be, and what to do.
    """
    marked = next((codec for mark, codec in _MARKS if raw.startswith(mark)), None)
    if marked is None and b'\0' in raw[:64]:  # of ASCII characters, every second byte is 0
        marked = 'utf-16-le' if raw[1:64:2].count(0) > raw[0:64:2].count(0) else 'utf-16-be'
    try:
        return raw.decode(marked or 'utf-8').lstrip('\ufeff')
    except UnicodeDecodeError as error:
        if marked:
            raise DataError(f'{path} is not text: {error}') from error
        guess = _older_encoding(raw)
        raise DataError(
            f'{path} is not text in UTF-8 ({error.reason} at byte {error.start}), it seems to be '
            f'{guess}: save it as UTF-8, for example with "iconv -f {guess} -t UTF-8 OLD > NEW"'
        ) from error


def _older_encoding(raw: bytes) -> str:
    if not _TWO_HIGH_BYTES.search(raw):  # accents between letters; of other scripts, all are high
        return 'CP1252'
    for codec, name in _OLDER:
        try:
            raw.decode(codec)
        except UnicodeDecodeError:
            continue
        return name
    return 'CP1252'


def read_json(path: Path, *keys: str) -> Any:
    """Content of a JSON file; an object with at least these keys where keys are given.

    Raises:
        DataError: the file is missing, is not JSON, has no such key, or text that cannot be
            written again (halves of characters).
    """
    text = read_text(path)
    try:
        content = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f'{path} holds half of a character ({error.object[error.start]!a}): write that text '
            'anew'
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f'{path} is not valid JSON: {error}') from error
    if not keys:
        return content
    if not isinstance(content, dict):
        raise DataError(f'{path} holds a {type(content).__name__}, not an object with {keys[0]}')
    missing = [key for key in keys if key not in content]
    if missing:
        raise DataError(f'{path} has no entry {", ".join(missing)}: it is not the right file')
    return content


def records(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    """The list under a key.

    Raises:
        DataError: what is there is no list.
    """
    if not isinstance(content[key], list):
        raise DataError(f'{path}: its {key} are no list: it is not the right file')
    return content[key]


def lack(record: Any, *keys: str) -> str | None:
    """What is wrong with a record that must be an object with these keys, or None."""
    if not isinstance(record, dict):
        return f'is {record!r:.40} where an object with {", ".join(keys)} is needed'
    missing = [key for key in keys if key not in record]
    return f'has no {", ".join(missing)}' if missing else None


def lack_of_number(record: dict[str, Any], *keys: str) -> str | None:
    """What is wrong with a record whose entries must be numbers (or names) that tell it apart."""
    wrong = [key for key in keys if not isinstance(record[key], int | str)]
    return f'has {wrong[0]} {record[wrong[0]]!r:.40}, which is no number' if wrong else None


def whole(value: Any) -> Any:
    """48.0 and '48' -> 48, as some programs write sizes; everything else stays."""
    if isinstance(value, str) and re.fullmatch(r'[0-9]{1,9}', value.strip()):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def same_id(value: Any) -> Any:
    """7.0 and '7' -> 7, as some programs write ids; everything else stays."""
    number = whole(value)
    return value if isinstance(value, str) and str(number) != value else number


def called(what: str, record: Any, position: int) -> str:
    """How messages call a record: by its id, or by its place in the list."""
    if isinstance(record, dict) and isinstance(record.get('id'), int | str):
        return f'{what} {record["id"]}'
    return f'{what} number {position} of its list'


def read_matlab(path: Path, *keys: str) -> np.ndarray:
    """An array of a ``.mat`` file; further keys go into structures.

    Raises:
        DataError: the file cannot be read or has no such entry.
    """
    try:
        array = read_array(path.read_bytes(), keys, str(path))
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing') from error
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from error
    except MissingArrayError as error:
        others = ', '.join(error.found) or 'nothing'
        raise DataError(f'{path} has no entry {".".join(keys)}, only {others}') from error
    if array.ndim != 2:
        raise DataError(f'{path}: {".".join(keys)} has shape {array.shape}, not a map')
    return array


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


def composed(name: str) -> str:
    """A name with accents as parts of their letters: macOS writes them as characters behind it."""
    return unicodedata.normalize('NFC', name)


def existing(path: Path) -> Path:
    """The path, or the one that is there and differs in nothing but how accents are written."""
    if is_there(path) or str(path).isascii():
        return path
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ('NFC', 'NFD'))
    return next((form for form in forms if is_there(form)), path)


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
