"""Reading annotation files: text in any encoding that says what it is, JSON, MATLAB."""

import codecs
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.errors import DataError
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
