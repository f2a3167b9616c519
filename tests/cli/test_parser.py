"""Options that do not exist are answered with what does the same."""

import pytest
from in_one_test import in_one_test

from openseg_plugin.cli.main import VERBS, run
from openseg_plugin.cli.parser import _ELSEWHERE, ArgumentParser
from openseg_plugin.errors import ConfigError


@pytest.mark.parametrize('option', sorted(_ELSEWHERE))
def test_option_of_another_tool_names_ours(option):
    parser = ArgumentParser('Test.')
    with pytest.raises(ConfigError, match=f'has no option {option}: '):
        parser.parse_args([option, '1'])


def test_values_that_cannot_be_are_one_sentence_in_every_verb(capsys):
    lines = {
        'train c.py --seed -1': '--seed: -1: give a whole number from 0 to',
        'test c.py w.pth --seed -1': '--seed: -1: give a whole number',
        'synth out --seed -1': '--seed: -1',
        'browse-dataset c.py --seed -1': '--seed: -1',
        'convert-dataset labelme a b --workers -2': '--workers: -2: give a whole number',
        'check-dataset a --workers 0': '--workers: 0',
        'synth out --workers -1': '--workers: -1',
        'report a --workers -1': '--workers: -1',
        'segfix apply a b c --scale inf': '--scale: inf: give a number above 0',
        'segfix apply a b c --workers 0': '--workers: 0',
        'test c.py w.pth --aug-test --scales inf': '--scales: inf',
        'train c.py --override-lr nan': '--override-lr: nan',
        'test c.py w.pth --out x.pkl': 'x.pkl is a file: results go into a folder',
        'browse-dataset c.py --out x.pkl': 'x.pkl is a file',
        'curves a --out x.pkl': 'x.pkl is a file',
        'report a b --out x.pkl': 'x.pkl is a file',
        'segfix apply a b x.pkl': 'x.pkl is a file',
    }
    for line, sentence in lines.items():
        verb, *arguments = line.split()
        assert run(f'openseg_plugin.cli.{VERBS[verb][0]}', arguments) == 2, line
        shown = capsys.readouterr().err
        assert sentence in shown, line
        assert shown.count('\n') == 1, line


@in_one_test(
    ('option', 'expected'),
    [
        ('--pretrained', '--load-from FILE'),
        ('--save', '--work-dir DIR'),
        ('--lr', '--cfg-options optim_wrapper.optimizer.lr=LR'),
        ('--no-validate', 'val_dataloader=None'),
        ('--gpu-ids', 'CUDA_VISIBLE_DEVICES'),
        ('--work-dirs', 'did you mean --work-dir?'),
        ('--num-workers', 'train_dataloader.num_workers=N'),
        ('--optimizer', 'optim_wrapper.optimizer.type=NAME'),
        ('--bs', '--batch-size N'),
    ],
)
def test_train_names_the_remedy(capsys, option, expected):
    from openseg_plugin.cli.train import main

    assert run(main, ['config.py', option, '1']) == 2
    assert expected in capsys.readouterr().err


def test_remedy_of_another_verb_is_not_named(capsys):
    from openseg_plugin.cli.predict import main as predict
    from openseg_plugin.cli.test import main as test

    assert run(test, ['c.py', 'w.pth', '--workers', '2']) == 2
    assert 'test_dataloader.num_workers=N' in capsys.readouterr().err
    assert run(predict, ['c.py', 'w.pth', 'a.png', '--opacity', '1']) == 2
    assert '--show-dir' not in capsys.readouterr().err
