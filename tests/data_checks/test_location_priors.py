"""Labels that are off by one in all splits: where classes lie tells, though values are allowed."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import small_set
from PIL import Image

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.data_checks.dataset_spec import Pair, Rules, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import read_label_facts
from openseg_plugin.data_checks.location_priors import judge

CLASSES = ('Sky', 'building', 'pole', 'road', 'car')
NONE = 99  # pixels of no class, before a dataset gives them a number


def scene(*, with_last: bool = True) -> np.ndarray:
    """A street: (8, 12), classes 0..4 and NONE."""
    values = np.ones((8, 12), int)
    values[:2], values[5:] = 0, 3
    values[5:, :2] = 1  # a house down to the lower border
    values[2:4, 3] = 2
    values[5, 4:7] = 4 if with_last else 3
    values[4, 11] = values[6, 5] = NONE
    return values


def up(values: np.ndarray, none: int, *, none_after: int) -> np.ndarray:
    return np.where(values == none, none_after, values + 1)


def down(values: np.ndarray, none: int) -> np.ndarray:
    return np.where((values == 0) | (values == none), 255, values - 1)


PLAIN, VOID, REDUCE = '', 'void_ids=[5], ', 'reduce_zero_label=True, '
# what the labels are: options of the dataset, the number of no class, the change, is it certain
WRONG = {
    'counted from one': (PLAIN, 255, lambda v: up(v, 255, none_after=255), True),
    'counted from one, 255 became 0': (PLAIN, 255, lambda v: up(v, 255, none_after=0), True),
    'counted from one, void goes on': (VOID, 5, lambda v: v + 1, True),
    'counted from one, void became 0': (VOID, 5, lambda v: (v + 1) % 6, False),
    'counted from two': (REDUCE, 0, lambda v: v + 1, True),
    'reduced': (PLAIN, 255, lambda v: down(v, 255), False),
    'reduced, with void': (VOID, 5, lambda v: down(v, 98), False),
    'reduced twice': (REDUCE, 0, lambda v: np.where(v == 0, 255, v - 1), False),
}


@pytest.fixture
def check(tmp_path, capsys):
    """Writes labels of both splits, runs the data check on a config, gives status and text."""
    data = small_set.write(tmp_path / 'data', number=8)

    def run(options: str, values: np.ndarray, *arguments: str) -> tuple[int, str]:
        for path in small_set.labels(data):
            if path.is_relative_to(data):
                Image.fromarray(values.astype(np.uint8)).save(path)
        config = small_set.config(
            tmp_path / 'c.py', data, classes=CLASSES, number=len(CLASSES), dataset=options
        )
        if 'void_ids' in options:
            text = config.read_text().replace(options, '')
            config.write_text(text.replace('metainfo=dict(', f'metainfo=dict({options}'))
        status = main([str(config), '--cache', str(tmp_path / 'cache'), *arguments])
        return status, capsys.readouterr().out

    return run


def written(options: str, none: int, **scene_options) -> np.ndarray:
    """The scene as a right label file of such a dataset."""
    values = scene(**scene_options)
    return np.where(values == NONE, none, values + int(options == REDUCE))


def fix(text: str, folder: Path) -> list[str]:
    """Runs the commands that the data check printed; gives its settings."""
    lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        if line.startswith('openseg convert-dataset'):
            small_set.run_command(line, folder)
    return shlex.split(next(line for line in lines if line.startswith('--cfg-options')))


@pytest.mark.parametrize(('options', 'none'), [(PLAIN, 255), (VOID, 5), (REDUCE, 0)])
def test_right_labels_have_no_findings(check, options, none):
    status, text = check(options, written(options, none))
    assert status == 0 and 'No findings' in text


@pytest.mark.parametrize('name', WRONG)
def test_labels_that_moved_in_all_splits_are_named_and_fixed(check, tmp_path, name):
    options, none, change, is_certain = WRONG[name]
    values = change(written(options, none))
    status, text = check(options, values)
    assert status == int(is_certain)
    assert 'off by one: the labels of train and val hold' in text
    assert 'lie where they belong in' in text and 'never occurs' not in text
    status, text = check(options, values, *fix(text, tmp_path))
    assert status == 0 and 'No findings' in text


def test_counting_from_one_without_the_last_class_is_a_suspicion(check, tmp_path):
    values = up(written(PLAIN, 255, with_last=False), 255, none_after=255)
    status, text = check(PLAIN, values)
    assert status == 0 and 'seem to count from one' in text
    assert 'off by one' not in check(PLAIN, values, *fix(text, tmp_path))[1]


@pytest.mark.parametrize('absent', [0, 4])
def test_right_labels_without_the_first_or_last_class_are_not_called_off_by_one(check, absent):
    values = written(PLAIN, 255)
    status, text = check(PLAIN, np.where(values == absent, 1, values))
    assert status == 0 and 'off by one' not in text
    assert '1 of 5 classes never occurs' in text


def test_a_void_value_beside_right_classes_is_told_from_a_shift(check, tmp_path):
    values = written(VOID, 5)
    status, text = check(PLAIN, values)
    assert status == 1 and 'the value 5 is no class: 16 labels have it' in text
    assert 'No findings' in check(PLAIN, values, *fix(text, tmp_path))[1]


def records(path: Path, values: np.ndarray, rules: Rules, number: int) -> list[Record]:
    Image.fromarray(values.astype(np.uint8)).save(path)
    split = Split('train', [], rules)
    return [Record(split, Pair(None, path), None, read_label_facts(path))] * number


@pytest.mark.parametrize(('number', 'is_certain'), [(5, None), (6, False), (12, True)])
def test_the_number_of_labels_makes_a_shift_certain(tmp_path, number, is_certain):
    rules = Rules(CLASSES, void_ids=(5,))
    values = (written(VOID, 5) + 1) % 6
    verdict = judge(rules, records(tmp_path / 'a.png', values, rules, number))
    assert verdict.shift == (0 if is_certain is None else 1)
    assert verdict.certain is bool(is_certain)


@pytest.mark.parametrize('names', [('background', 'cat', 'dog'), ('_background_', 'cat', 'dog')])
def test_a_background_that_became_255_is_noticed(tmp_path, names):
    values = np.zeros((8, 12), int)
    values[3:5, 3:5], values[3:5, 7:9] = 1, 2
    rules = Rules(names)
    right = records(tmp_path / 'a.png', values, rules, 12)
    wrong = records(tmp_path / 'b.png', np.where(values == 0, 255, values - 1), rules, 12)
    assert judge(rules, right).shift == 0
    assert judge(rules, wrong).shift == -1


def test_names_that_say_nothing_give_no_verdict(tmp_path):
    rules = Rules(('a', 'b', 'c', 'd', 'e'), void_ids=(5,))
    assert judge(rules, records(tmp_path / 'a.png', written(VOID, 5) + 1, rules, 12)).shift == 0


def test_a_reduced_mask_of_two_classes_is_told_from_0_255(tmp_path, capsys):
    data = small_set.write(tmp_path / 'data')
    border = np.full((8, 12), 255, np.uint8)
    border[3:5, 3:9] = 0
    small_set.change(data, lambda v: border)
    main([str(data), '--classes', 'background', 'line', '--cache', str(tmp_path / 'cache')])
    assert 'in 8 of 8 labels 255 takes most of the border' in capsys.readouterr().out


@pytest.mark.parametrize('with_last', [True, False])
def test_an_ignored_border_around_right_labels_stops_nothing(tmp_path, capsys, with_last):
    data = small_set.write(tmp_path / 'data', number=14)
    values = np.full((8, 12), 255, np.uint8)
    values[1:-1, 1:-1] = 0
    values[3:5, 3:5], values[3:5, 7:9] = 1, 2 if with_last else 1
    small_set.change(data, lambda v: values)
    names = ('background', 'cat', 'dog')
    path = small_set.config(tmp_path / 'c.py', data, classes=names)
    for source, more in ((path, []), (data, ['--classes', *names])):
        assert main([str(source), *more, '--cache', str(tmp_path / 'cache')]) == 0
        text = capsys.readouterr().out
        assert ('255 (ignored) takes the border of train and val' in text) is not with_last
        assert '--remap' not in text and 'STOPS' not in text
