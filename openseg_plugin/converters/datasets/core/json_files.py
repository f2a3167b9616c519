"""Reading annotation files in JSON."""

import json
from pathlib import Path
from typing import Any

from openseg_plugin.errors import DataError


def read_json(path: Path, *keys: str) -> Any:
    """Content of a JSON file; an object with at least these keys where keys are given.

    Raises:
        DataError: the file is missing, is not JSON, or has no such key.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing') from error
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
