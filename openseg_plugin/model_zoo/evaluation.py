"""The commands that a published file is for: those that evaluate it, or one that starts from it."""

from typing import Any

from openseg_plugin.model_zoo.entries import Entry

# satellite pictures, which no data set here reads
NOT_OURS = ('LoveDA', 'Potsdam', 'Vaihingen', 'iSAID')
_TOLD_BY_DATA = ('num_classes', 'class_weight')
_INIT = 'model.backbone.init_cfg'
# short side and square of the zoo's "val (crop)"
_CROPS = {'VOC12aug': 480, 'Cityscapes': 768}
_CROP_KEY = 'test_dataloader.dataset.pipeline.2.size'


def arguments(entry: Entry, *, on_crops: bool = False) -> list[str]:
    """What follows the checkpoint in the command: ``--data`` and ``--cfg-options``."""
    words = [] if entry.test_data is None else ['--data', entry.test_data]
    options = {**entry.options, **entry.test_options}
    if on_crops:
        options[_CROP_KEY] = _CROPS[entry.data]
    if entry.test_data is not None:
        options = {key: value for key, value in options.items() if not _is_told_by_data(key)}
    pairs = [f'{key}={_value(value)}' for key, value in options.items()]
    return words + (['--cfg-options', *pairs] if pairs else [])


def command(entry: Entry, checkpoint: str) -> str | None:
    """``tools/test.py`` for one view of every picture.

    None: no data set here fits, or the file is none to be tested.
    """
    return _command(entry, checkpoint, arguments(entry))


def views_command(entry: Entry, checkpoint: str) -> str | None:
    """``tools/test.py`` for the figure of several scales; None: it has none of its own."""
    if entry.miou_ms is None or not entry.views:
        return None
    return _command(entry, checkpoint, [*arguments(entry), entry.views])


def crop_command(entry: Entry, checkpoint: str) -> str | None:
    """``tools/test.py`` for the figure on the squares in the middle; None: there is none."""
    if entry.miou_crop is None:
        return None
    return _command(entry, checkpoint, arguments(entry, on_crops=True))


def start_command(entry: Entry, checkpoint: str) -> str | None:
    """``tools/train.py`` from a trunk trained on ImageNet; None: it is none."""
    if entry.use != 'backbone':
        return None
    options = {**entry.options, f'{_INIT}.type': 'Pretrained', f'{_INIT}.checkpoint': checkpoint}
    pairs = [f'{key}={_value(value)}' for key, value in options.items()]
    return ' '.join(['python tools/train.py', f'configs/{entry.config}', '--cfg-options', *pairs])


def commands(entry: Entry, checkpoint: str) -> dict[str, str]:
    """What each command is for -> the command; why there is none, where there is none."""
    found = {
        'evaluate': command(entry, checkpoint),
        'several scales': views_command(entry, checkpoint),
        'on crops': crop_command(entry, checkpoint),
        'start from it': start_command(entry, checkpoint),
    }
    if not any(found.values()):
        reason = f'no config reads {entry.data}; the weights load'
        if entry.use == 'weights':
            reason = 'weights only, see the note'
        found['evaluate'] = f'not here: {reason}'
    return {purpose: line for purpose, line in found.items() if line}


def _command(entry: Entry, checkpoint: str, words: list[str]) -> str | None:
    if entry.use != 'test' or entry.data in NOT_OURS:
        return None
    return ' '.join(['python tools/test.py', f'configs/{entry.config}', checkpoint, *words])


def _is_told_by_data(key: str) -> bool:
    return key.rpartition('.')[2] in _TOLD_BY_DATA


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return '"(' + ','.join(map(str, value)) + ')"'
    return str(value)
