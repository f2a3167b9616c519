"""Reading annotation files in JSON.

Reading MATLAB files, in which some label maps are published.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.utils.matlab import MissingArrayError, read_array


def read_json(path: Path, *keys: str) -> Any:
    """Content of a JSON file; an object with at least these keys where keys are given.

    Raises:
        DataError: the file is missing, is not JSON, or has no such key.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing') from error
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from error
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
