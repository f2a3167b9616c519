"""The published weight files, read from ``entries.json`` beside this module, and what they are for.

Of mmseg's files that table says only what fits them here; where they lie and what they score is
read from the metafiles of the installed mmseg.

Hardly any author says how large a file is, so that is computed: the model of the entry's config
and options, built without memory for its weights, has the same arrays but for biases in front of
normalizations.
"""

import difflib
import importlib.util
import json
import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from openseg_plugin.errors import CheckpointError
from openseg_plugin.paths import config_path
from openseg_plugin.utils.files import write_text

_MMSEG = 'https://github.com/open-mmlab/mmsegmentation'
_ADDRESS = 'https://download.openmmlab.com/mmsegmentation/'
_SERVER = re.compile(r'^https?://[\w.-]+/mmsegmentation/')
_DATE_AND_HASH = re.compile(r'_\d{8}_\d{6}-([0-9a-f]{8})\.pth$')
PATH = Path(__file__).parent / 'entries.json'
GET_FOLDER = Path('weights')  # where ``openseg weights get`` puts files by default


@dataclass(frozen=True)
class Entry:
    """One published file; None where its authors do not say.

    Attributes:
        name: what ``openseg weights get`` calls it.
        method: folder of its configs.
        source: whose it is, as the converter calls it.
        backbone: such as 'hrnet48'.
        data: dataset of its validation score, or which it was trained on.
        file: file name.
        config: path below configs/.
        page: web page of the authors.
        address: where the file lies; None: only behind a link on the page.
        sha256: of the file.
        sha256_start: its first hex digits.
        size: bytes, as its authors say.
        numbers: parameters and running statistics in it, computed from its config
            (``openseg weights sizes`` writes them); of a backbone without its
            classifier.
        miou: percent, one scale.
        miou_ms: percent, multi-scale or flipped (``note`` says).
        views: words of ``openseg test`` that give ``miou_ms``; empty: it comes without any, from
            the scales in the model.
        pix_acc: percent of the labelled pixels, one scale.
        miou_crop: percent, one square from the middle of every image.
        pix_acc_crop: percent of the labelled pixels, likewise.
        use: 'test': a network to be tested. 'backbone': a backbone trained on ImageNet, to start
            from. 'weights': weights that nothing here can read or that nobody describes.
        classes: rows of the classifier.
        options: what to change in the config.
        test_data: dataset of ``configs/_base_/datasets`` to test on; None: the config's own.
        test_options: what the authors' test changes further.
        note: anything else.
    """

    name: str
    method: str
    source: str
    backbone: str
    data: str
    file: str
    config: str
    page: str
    address: str | None = None
    sha256: str | None = None
    sha256_start: str | None = None
    size: int | None = None
    numbers: int | None = None
    miou: float | None = None
    miou_ms: float | None = None
    views: str = '--aug-test'
    pix_acc: float | None = None
    miou_crop: float | None = None
    pix_acc_crop: float | None = None
    use: str = 'test'
    classes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    test_data: str | None = None
    test_options: dict[str, Any] = field(default_factory=dict)
    note: str = ''

    @property
    def megabytes(self) -> float | None:
        """Its size, or that of its numbers as float32; None: neither is known."""
        if self.size is not None:
            return self.size / 1e6
        return None if self.numbers is None else self.numbers * 4 / 1e6


@cache
def entries() -> tuple[Entry, ...]:
    """All of them, in the order of the file."""
    facts = _mmseg_facts()
    found = []
    for entry in json.loads(PATH.read_text(encoding='utf-8')):
        if entry['source'] == 'mmseg':
            unknown = {'file': f'{entry["name"]}.pth', 'page': _MMSEG}
            entry |= unknown | facts.get(entry['name'], {})
        found.append(Entry(**entry))
    return tuple(found)


def _mmseg_facts() -> dict[str, dict[str, Any]]:
    """What mmseg's metafiles say of each file, by its name without date and hash.

    Empty where mmseg is not installed, or without its metafiles.
    """
    spec = importlib.util.find_spec('mmseg')
    if spec is None or spec.origin is None:
        return {}
    import yaml

    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    facts = {}
    for path in Path(spec.origin).parent.glob('.mim/configs/*/metafile.yaml'):
        content = yaml.load(path.read_text(encoding='utf-8'), loader) or {}
        for model in content.get('Models') or ():
            address = _SERVER.sub(_ADDRESS, model.get('Weights') or '')  # one host is misspelt
            if address.startswith(_ADDRESS):
                file = address.rpartition('/')[2]
                stated = _DATE_AND_HASH.search(file)
                if stated is not None:
                    name, start = file[: stated.start()], stated[1]
                    fact = {'file': file, 'address': address, 'sha256_start': start}
                    facts[name] = fact | _scores(model)
    return facts


def _scores(model: dict[str, Any]) -> dict[str, float]:
    results = model.get('Results') or {}
    metrics = (results[0] if isinstance(results, list) else results).get('Metrics') or {}
    names = {'miou': 'mIoU', 'miou_ms': 'mIoU(ms+flip)'}
    return {key: metrics[name] for key, name in names.items() if name in metrics}


def find(name: str) -> Entry:
    """The entry of this name.

    Raises:
        CheckpointError: there is none; names the nearest.
    """
    for entry in entries():
        if entry.name == name:
            return entry
    raise CheckpointError(f'the model zoo has no {name}; {_hint(name)}')


def matching(part: str) -> list[Entry]:
    """The entries of a method, or with ``part`` in their name; all where it is empty.

    Raises:
        CheckpointError: there are none; names the nearest.
    """
    found = [entry for entry in entries() if part in entry.name or part == entry.method]
    if not found:
        raise CheckpointError(f'nothing in the model zoo matches {part}; {_hint(part)}')
    return found


def _hint(name: str) -> str:
    words = [entry.name for entry in entries()] + sorted({entry.method for entry in entries()})
    near = difflib.get_close_matches(name, words, n=3, cutoff=0.4)
    return f'near: {", ".join(near)}' if near else 'openseg weights list names all'


# satellite images, which no dataset here reads
NOT_OURS = ('LoveDA', 'Potsdam', 'Vaihingen', 'iSAID')
_TOLD_BY_DATA = ('num_classes', 'class_weight')
_INIT = 'model.backbone.init_cfg'
# short side and square of pytorch-cv's "val (crop)"
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
    """``openseg test`` for one view of every image.

    None: no dataset here fits, or the file is none to be tested.
    """
    return _command(entry, checkpoint, arguments(entry))


def views_command(entry: Entry, checkpoint: str) -> str | None:
    """``openseg test`` for the multi-scale metric; None: it has none of its own."""
    if entry.miou_ms is None or not entry.views:
        return None
    return _command(entry, checkpoint, [*arguments(entry), entry.views])


def crop_command(entry: Entry, checkpoint: str) -> str | None:
    """``openseg test`` for the metric on the squares in the middle; None: there is none."""
    if entry.miou_crop is None:
        return None
    return _command(entry, checkpoint, arguments(entry, on_crops=True))


@dataclass(frozen=True)
class Protocol:
    """One way in which a published file was scored.

    Attributes:
        name: 'one view', 'several views', 'crops', or 'scales in the model'.
        words: what ``openseg test`` is given behind config and checkpoint.
        published: metric, as the test calls it -> percent that the authors state.
    """

    name: str
    words: tuple[str, ...]
    published: dict[str, float]


def protocols(entry: Entry) -> list[Protocol]:
    """Those with a published metric and a test here; empty: there is none."""
    if command(entry, '') is None:
        return []
    single, scales = {'mIoU': entry.miou, 'aAcc': entry.pix_acc}, {'mIoU': entry.miou_ms}
    in_model = entry.miou_ms is not None and not entry.views
    found = [
        ('scales in the model', '', scales if in_model else {}),
        ('one view', '', {} if in_model else single),
        ('several views', entry.views, {} if in_model else scales),
        ('crops', '', {'mIoU': entry.miou_crop, 'aAcc': entry.pix_acc_crop}),
    ]
    return [
        Protocol(
            name,
            (*shlex.split(' '.join(arguments(entry, on_crops=name == 'crops'))), *views.split()),
            {metric: percent for metric, percent in stated.items() if percent is not None},
        )
        for name, views, stated in found
        if any(percent is not None for percent in stated.values())
    ]


def start_command(entry: Entry, checkpoint: str) -> str | None:
    """``openseg train`` from a backbone trained on ImageNet; None: it is none."""
    if entry.use != 'backbone':
        return None
    options = {**entry.options, f'{_INIT}.type': 'Pretrained', f'{_INIT}.checkpoint': checkpoint}
    pairs = [f'{key}={_value(value)}' for key, value in options.items()]
    return ' '.join(['openseg train', f'configs/{entry.config}', '--cfg-options', *pairs])


def commands(entry: Entry, checkpoint: str) -> dict[str, str]:
    """What each command is for -> the command; why there is none, where there is none."""
    found = {
        'evaluate': command(entry, checkpoint),
        'multi-scale': views_command(entry, checkpoint),
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
    return ' '.join(['openseg test', f'configs/{entry.config}', checkpoint, *words])


def _is_told_by_data(key: str) -> bool:
    return key.rpartition('.')[2] in _TOLD_BY_DATA


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return '"(' + ','.join(map(str, value)) + ')"'
    return str(value)


def computed_size(entry: Entry) -> int:
    """Parameters and running statistics of the model of its config, of a backbone those alone."""
    model = built_model(entry)
    if entry.data == 'ImageNet':
        model = model.backbone
    return sum(value.numel() for value in model.state_dict().values() if value.is_floating_point())


def built_model(entry: Entry) -> Any:
    """The model of its config and options, its weights on the meta device."""
    # the other commands need no mmseg, which takes seconds to import
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from openseg_plugin.registry import MODELS

    cfg = Config.fromfile(config_path(entry.config))
    cfg.merge_from_dict(dict(entry.options))
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    # its mean and spread are no weights, so they may as well be there
    model.data_preprocessor = MODELS.build(cfg.model.data_preprocessor)
    return model


def write_sizes() -> list[str]:
    """Brings the sizes in ``entries.json`` up to date; names of the entries that were not."""
    known: dict[str, int] = {}
    changed, lines = [], []
    for entry, raw in zip(entries(), json.loads(PATH.read_text(encoding='utf-8')), strict=True):
        network = f'{entry.config} {entry.options} {entry.data == "ImageNet"}'
        if network not in known:
            known[network] = computed_size(entry)
        if raw.get('numbers') != known[network]:
            changed.append(entry.name)
        lines.append(json.dumps({**raw, 'numbers': known[network]}))
    if changed:
        write_text(str(PATH), '[\n' + ',\n'.join(lines) + '\n]\n')
    return changed
