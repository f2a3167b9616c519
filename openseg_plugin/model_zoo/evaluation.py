"""The command that evaluates a published file."""

from typing import Any

from openseg_plugin.model_zoo.entries import Entry

# satellite pictures, which no data set here reads
NOT_OURS = ('LoveDA', 'Potsdam', 'Vaihingen', 'iSAID')
_TOLD_BY_DATA = ('num_classes', 'class_weight')


def arguments(entry: Entry) -> list[str]:
    """What follows the checkpoint in the command: ``--data`` and ``--cfg-options``."""
    words = [] if entry.test_data is None else ['--data', entry.test_data]
    options = {**entry.options, **entry.test_options}
    if entry.test_data is not None:
        options = {key: value for key, value in options.items() if not _is_told_by_data(key)}
    pairs = [f'{key}={_value(value)}' for key, value in options.items()]
    return words + (['--cfg-options', *pairs] if pairs else [])


def command(entry: Entry, checkpoint: str) -> str | None:
    """``tools/test.py`` for one view of every picture; None: no data set here fits."""
    if entry.data in NOT_OURS:
        return None
    words = ['python tools/test.py', f'configs/{entry.config}', checkpoint, *arguments(entry)]
    return ' '.join(words)


def _is_told_by_data(key: str) -> bool:
    return key.rpartition('.')[2] in _TOLD_BY_DATA


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return '"(' + ','.join(map(str, value)) + ')"'
    return str(value)
