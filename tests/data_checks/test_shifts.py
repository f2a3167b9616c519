"""Labels that count from one in a dataset with a void id after its classes."""

import shlex

import numpy as np
import pytest
import small_set
from PIL import Image

from openseg_plugin.cli.check_dataset import main

CLASSES = ('sky', 'wall', 'pole', 'road')
VOID = 4
ROW = np.repeat([0, 1, 2, 3, VOID], [4, 3, 1, 3, 1])  # fractions of a street scene, W = 12
SHIFTS = {
    'void goes on': lambda v: v + 1,
    'void stays': lambda v: np.minimum(v + 1, VOID),
    'void becomes 0': lambda v: (v + 1) % (VOID + 1),
}


@pytest.fixture
def check(tmp_path, capsys):
    """Writes labels of both splits, runs the data check on a config, gives status and text."""
    data = small_set.write(tmp_path / 'data')
    config = small_set.config(tmp_path / 'c.py', data, classes=CLASSES, number=len(CLASSES))
    text = config.read_text().replace('metainfo=dict(', f'metainfo=dict(void_ids=[{VOID}], ')
    config.write_text(text)

    def run(train, val, *arguments: str) -> tuple[int, str]:
        for split, change in (('train', train), ('val', val)):
            for path in (data / split / 'label').glob('*.png'):
                values = np.tile(ROW, (small_set.HEIGHT, 1))
                Image.fromarray(change(values).astype(np.uint8)).save(path)
        status = main([str(config), '--cache', str(tmp_path / 'cache'), *arguments])
        return status, capsys.readouterr().out

    return run


def settings(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    return shlex.split(next(line for line in lines if line.startswith('--cfg-options')))


def same(values: np.ndarray) -> np.ndarray:
    return values


def test_labels_with_void_have_no_findings(check):
    status, text = check(same, same)
    assert status == 0 and 'No findings' in text


@pytest.mark.parametrize('name', ['void goes on', 'void stays'])
def test_both_splits_counted_from_one_are_named_and_fixed(check, name):
    status, text = check(SHIFTS[name], SHIFTS[name])
    assert status == (1 if name == 'void goes on' else 0)
    assert 'off by one, most likely' in text and 'classes never occur' not in text
    status, text = check(SHIFTS[name], SHIFTS[name], *settings(text))
    assert status == 0 and 'No findings' in text


@pytest.mark.parametrize('name', SHIFTS)
def test_one_split_counted_from_one_is_named_and_fixed(check, name):
    status, text = check(same, SHIFTS[name])
    assert status == (1 if name == 'void goes on' else 0)
    assert 'off by one: the values of val look like those of train plus 1' in text
    fix = settings(text)
    assert not any(word.startswith('train') for word in fix)
    status, text = check(same, SHIFTS[name], *fix)
    assert status == 0 and 'off by one' not in text


def test_two_splits_of_other_scenes_are_no_shift(check):
    _, text = check(same, lambda v: np.flip(v, 1)[:, :6])
    assert 'off by one' not in text
