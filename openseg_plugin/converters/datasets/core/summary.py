"""``dataset.json``: what a converted folder holds and how it was made."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin import __version__
from openseg_plugin.converters.datasets.core.plan import Plan
from openseg_plugin.errors import DataError
from openseg_plugin.utils import files
from openseg_plugin.utils.files import parse_json

NAME = 'dataset.json'
FORMAT = 1
# Characters in which the first two entries are looked for: a foreign file may be large.
_HEAD = 512
_SAME = ('converter', 'options', 'classes')
_LENIENT = 'skip_bad_shapes'


def load(dst: Path) -> dict[str, Any] | None:
    """The summary of a converted folder, or None where there is none.

    Raises:
        DataError: there is a file of that name that no converter wrote.
    """
    path = dst / NAME
    try:
        summary = parse_json(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(
            f'{path} is not JSON ({error}): remove it, or choose another target'
        ) from error
    if (
        not isinstance(summary, dict)
        or summary.get('format') != FORMAT
        or 'converter' not in summary
    ):
        raise DataError(
            f'{path} was not written by this converter: remove it, or choose another target'
        )
    return summary


def is_converted(folder: Path) -> bool:
    """Whether a converter made the folder; other programs have files of that name too."""
    try:
        with (folder / NAME).open(encoding='utf-8') as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return False
    return '"format":' in head and '"converter":' in head


def describe(plan: Plan, *, name: str, source: str, options: Any, palette: bool) -> dict[str, Any]:
    """Summary of a conversion before its first file; JSON types only."""
    return {
        'format': FORMAT,
        'converter': name,
        'version': __version__,
        'source': source,
        'options': {**_plain(asdict(options)), 'palette': palette},
        'classes': list(plan.classes),
        'palette': [list(color) for color in plan.palette],
        'ignore_index': plan.ignore_index,
        'reduce_zero_label': plan.reduce_zero_label,
        'flip_pairs': [list(pair) for pair in plan.flip_pairs],
        **_plain(dict(plan.facts)),
        'splits': {},
    }


def split_record(
    plan: Plan, split: str, *, counts: np.ndarray, failures: Iterable[str], complete: bool
) -> dict[str, Any]:
    """Entry of one split: number of images and labels, pixels per value, failures."""
    samples = [sample for sample in plan.samples if sample.split == split]
    failed = list(failures)
    return {
        'complete': complete,
        'samples': len(samples) - len(failed),
        'pixels': {str(value): int(number) for value, number in enumerate(counts) if number},
        'failures': failed,
    }


def save(summary: Mapping[str, Any], dst: Path) -> None:
    """Writes the summary in one step: one line per entry, and per split."""
    lines = [f'  {_text(k)}: {_text(v)}' for k, v in summary['splits'].items()]
    entries = [f' {_text(k)}: {_text(v)}' for k, v in summary.items() if k != 'splits']
    entries.append(' "splits": {\n' + ',\n'.join(lines) + '\n }')
    text = '{\n' + ',\n'.join(entries) + '\n}\n'
    files.write_below(dst, NAME, text.encode())


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], dst: Path) -> None:
    """Makes sure that a folder is not mixed from two different conversions.

    Raises:
        DataError: another converter or other options made what is there.
    """
    old = _with_lenience(old, new)
    for key in _SAME:
        if old.get(key) == new[key]:
            continue
        was, now = old.get(key), new[key]
        other = 'another' if key == 'converter' else 'other'
        if key == 'options':
            was = was if isinstance(was, dict) else {}
            changed = sorted(k for k in now if was.get(k) != now[k])
            was = ', '.join(f'{k}={was.get(k)}' for k in changed)
            now = ', '.join(f'{k}={now[k]}' for k in changed)
        raise DataError(
            f'{dst} holds a conversion with {other} {key} ({was}; now {now}): choose another '
            'target, or give --overwrite'
        )


def is_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two summaries are of the same conversion, apart from splits and source."""
    old = _with_lenience(old, new)
    return all(old.get(key) == new[key] for key in _SAME)


def _with_lenience(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """The old summary as if it had left out bad shapes, where the new one does.

    A run that stops at a bad shape asks for this option; what it finished has no bad shape.
    """
    options = old.get('options')
    if not isinstance(options, dict) or not new['options'].get(_LENIENT):
        return old
    return {**old, 'options': {**options, _LENIENT: True}} if _LENIENT in options else old


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
