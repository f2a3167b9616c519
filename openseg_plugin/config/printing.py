"""Flattened configs as text, and what differs between two of them."""

import json
import pprint
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config


def as_plain(value: Any) -> Any:
    """Dicts, lists, tuples and leaves of a config, without mmengine's own classes."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(as_plain(one) for one in value)
    return value


def as_text(cfg: Config) -> str:
    """The config with all bases merged, one ``key = value`` after the other."""
    return '\n'.join(
        f'{key} = {pprint.pformat(value, width=100, sort_dicts=False)}'
        for key, value in as_plain(cfg.to_dict()).items()
    )


def as_json(cfg: Config) -> str:
    """The config as JSON; tuples become lists, what JSON does not know its text."""
    return json.dumps(as_plain(cfg.to_dict()), indent=1, default=str)


def differences(one: Config, other: Config) -> list[tuple[str, Any, Any]]:
    """(dotted key, value in one, value in other) wherever they differ; None: not there."""
    first, second = (dict(_leaves(as_plain(cfg.to_dict()))) for cfg in (one, other))
    keys = dict.fromkeys([*first, *second])
    return [
        (key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)
    ]


def _leaves(value: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted key of every leaf; lists of dicts count as dicts with numbers for keys."""
    if isinstance(value, dict) and value:
        items: Any = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(one, dict) for one in value):
        items = enumerate(value)
    else:
        yield prefix, value
        return
    for key, one in items:
        yield from _leaves(one, f'{prefix}.{key}' if prefix else str(key))
