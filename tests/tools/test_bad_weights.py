"""Weight files that are not what they should be, given to the tools: one sentence, status 2."""

import hashlib
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_run
from toy_segmentor import config_of_test, segmentor_config

from openseg_plugin.cli import convert_checkpoint, test, train
from openseg_plugin.cli.main import run
from openseg_plugin.errors import UserError
from openseg_plugin.registry import MODELS


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr('mmengine.config.config.FormatCode', toy_run.as_it_is, raising=False)


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with data, a config for three classes, and the files of ``WEIGHTS``."""
    data = toy_run.write_data(tmp_path / 'data', number=2)
    config_of_test(tmp_path, data)
    for name, classes in (('weights', 3), ('other', 5)):
        model = MODELS.build(segmentor_config(num_classes=classes))
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / f'{name}.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'weights.pth').read_bytes()[:1500])
    write_bad_weights(tmp_path)
    return tmp_path


def write_bad_weights(folder: Path) -> None:
    """Beside ``weights.pth``: what people load by mistake."""
    good = torch.load(folder / 'weights.pth', weights_only=True)['state_dict']
    names = list(good)
    bad = {
        'foreign': {f'encoder.block{i}.weight': torch.ones(2) for i in range(300)},
        'fewer': {name: good[name] for name in names[2:]},
        'more': good | {f'decode_head.extra{i}.weight': torch.ones(2) for i in range(9)},
        'nan': good | {names[0]: torch.full_like(good[names[0]], torch.nan)},
        'nans': good | {name: torch.full_like(good[name], torch.inf) for name in names[:2]},
        'shapes': good | {name: torch.ones(2, 3) for name in names[:2]},
        'numbers': dict(enumerate(good.values())),
        'another': with_classes({'encoder.weight': torch.ones(2)}, good, 5),
    }
    for name, weights in bad.items():
        torch.save({'state_dict': weights, 'meta': {}}, folder / f'{name}.pth')
    (folder / 'page.pth').write_text('<!DOCTYPE html>\n<html><body>404 Not Found</body></html>')
    arrays = {'conv._conv.weight': np.array([{}, None], dtype=object)}
    (folder / 'objects.pdparams').write_bytes(pickle.dumps(arrays, protocol=4))


def with_classes(weights: dict, good: dict, classes: int) -> dict:
    """``weights`` and the classifier of ``good`` with another number of rows."""
    head = {k: v for k, v in good.items() if 'conv_seg' in k}
    return weights | {k: torch.ones(classes, *v.shape[1:]) for k, v in head.items()}


EXTRA = ', '.join(f'decode_head.extra{i}.weight' for i in range(9))
WEIGHTS = [
    ('foreign.pth', r'300 entries are not known: encoder\.block0\.weight.*294 more.*are missing'),
    ('other.pth', r'5 classes, but the model has 3 .*--drop-classifier'),
    ('fewer.pth', r'2 entries are missing: backbone\.convs\.0\.weight, backbone\.convs\.1\.weight'),
    ('more.pth', f'9 entries are not known: {re.escape(EXTRA)}$'),
    ('cut.pth', r'is truncated or damaged'),
    ('page.pth', r'is a web page'),
    ('objects.pdparams', r'array of Python objects|object array'),
    ('nan.pth', r'1 entry holds NaN or infinity: backbone\.convs\.0\.weight;'),
    ('nans.pth', r'2 entries hold NaN .*: backbone\.convs\.0\.weight, backbone\.convs\.1\.weight;'),
    (
        'shapes.pth',
        r'2 entries have another shape: backbone\.convs\.0\.weight is 2x3 in the file and \d+x3x'
        r'.* here, backbone\.convs\.1\.weight is 2x3',
    ),
    ('numbers.pth', r'names to arrays is needed, but it has the key 0'),
    ('another.pth', r'not known: encoder\.weight; .* missing: .*for 5 classes, the model has 3'),
]


@pytest.mark.parametrize('file', [
    'foreign.pth', 'cut.pth', 'page.pth', 'objects.pdparams', 'nan.pth', 'numbers.pth'
])  # fmt: skip
def test_converter_refuses_bad_weights_in_one_sentence(capsys, place, file):
    assert run(convert_checkpoint.main, [f'{place}/{file}', f'{place}/out.pth']) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert re.search(f'^error: .*{re.escape(file)}', sentence)
    assert not (place / 'out.pth').exists()


@pytest.mark.parametrize(('file', 'message'), WEIGHTS)
@pytest.mark.parametrize('tool', [train, test], ids=['train', 'test'])
def test_bad_weights_are_one_sentence_that_names_the_file(capsys, place, tool, file, message):
    path = f'{place}/{file}'
    option = [path] if tool is test else ['--cfg-options', f'load_from={path}']
    digest = hashlib.sha256((place / file).read_bytes()).hexdigest()
    assert run(tool.main, [f'{place}/toy.py', '--work-dir', f'{place}/work', *option]) == 2
    errors = capsys.readouterr().err
    (sentence,) = [line for line in errors.splitlines() if line.startswith('error: ')]
    assert re.search(f'{re.escape(file)}.*{message}', sentence), sentence
    assert 'Traceback' not in errors
    assert hashlib.sha256((place / file).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(('file', 'message'), WEIGHTS)
def test_init_model_raises_the_same_sentence(place, file, message):
    from mmseg.apis import init_model

    with pytest.raises(UserError) as caught:
        init_model(f'{place}/toy.py', f'{place}/{file}', device='cpu')
    assert re.search(message, str(caught.value)), str(caught.value)
    assert '\n' not in str(caught.value)


def test_debug_lists_the_keys_that_the_sentence_leaves_out(capsys, place):
    arguments = [f'{place}/toy.py', f'{place}/foreign.pth', '--work-dir', f'{place}/work']
    assert run(test.main, [*arguments, '--debug']) == 2
    lines = capsys.readouterr().err.splitlines()
    for name in [f'encoder.block{i}.weight' for i in range(300)]:
        assert lines.count(f'not known: {name}') == 1
