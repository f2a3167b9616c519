"""tools/benchmark.py train|test|tta|predict|startup: whole commands beside mmseg's own."""

import json
from pathlib import Path

import pytest

from benchmarks import commands
from benchmarks.__main__ import main
from benchmarks.commands import Bench, Options, Usage
from benchmarks.core import Setting
from openseg_plugin.errors import ConfigError, MachineError

RATIOS = {'ratio', 'low', 'high', 'memory_ratio'}


@pytest.fixture
def without_processes(monkeypatch):
    """Stock takes 4 s and 800 MB, ours 2 s and 200 MB, one image of them half a second."""

    def run(self, side, name, *, count):
        full = {'stock': 4.0, 'ours': 2.0, 'ours --exact': 3.0, 'bare': 1.0}[side]
        return Usage(full - (0.5 if count == 1 else 0), full, 400 * full - 600, 1.0, '')

    monkeypatch.setattr(Bench, 'run', run)
    monkeypatch.setattr(Bench, 'draw', lambda self, **counts: None)
    monkeypatch.setattr(commands, 'write_weights', lambda config, file: None)


def last_line(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_last_line_is_the_ratios_of_every_command(without_processes, capsys):
    assert main(['test', 'tta', '--rounds', '2', '--images', '3']) == 0
    expected = dict(ratio=2.0, low=2.0, high=2.0, memory_ratio=0.2)
    assert last_line(capsys) == {'test': expected, 'tta': expected}


def test_several_ways_of_ours_stand_beside_one_run_of_stock(without_processes, capsys):
    assert main(['test', '--ours', '', '--ours=--exact', '--rounds', '2']) == 0
    found = last_line(capsys)
    assert list(found) == ['test', 'test --exact']
    assert found['test --exact']['ratio'] == pytest.approx(4 / 3, abs=1e-3)


def test_startup_counts_up_to_the_first_step_of_a_training(without_processes, capsys):
    assert main(['startup', '--rounds', '1']) == 0
    found = last_line(capsys)
    assert found['startup_train']['ratio'] == 1.0
    assert found['startup_predict']['ratio'] == pytest.approx(3.5 / 1.5, abs=1e-3)


@pytest.mark.parametrize(
    ('arguments', 'word'),
    [
        (['test', 'metric'], 'metric'),
        (['test', '--size', '64', '96'], '--size'),
        (['test', '--folder', __file__], '--folder'),
        (['growth', '--ours', '', '--ours=--exact'], '--ours'),
    ],
)
def test_what_cannot_be_measured_is_named(arguments, word):
    with pytest.raises(ConfigError, match=word):
        main(arguments)


def test_configs_of_both_sides_have_one_network_data_and_sizes(tmp_path, monkeypatch):
    from mmengine.config import Config

    monkeypatch.setattr(commands, 'write_weights', lambda config, file: None)
    for network in commands.NETWORKS:
        bench = Bench(tmp_path, Setting(), Options(network=network, workers=0), (128, 256))
        stock, ours = (Config.fromfile(bench.configs[side]) for side in ('stock', 'ours'))
        for cfg in (stock, ours):
            assert cfg.model.data_preprocessor.size == (64, 128), network
            assert cfg.test_dataloader.dataset.data_root == str(bench.folder), network
            assert cfg.train_dataloader.num_workers == 0, network


def accuracies(work_dir: Path) -> list[float]:
    """Of every run that left one, from the first run to the last."""
    return [json.loads(file.read_text())['aAcc'] for file in sorted(work_dir.glob('*/[0-9]*.json'))]


@pytest.mark.slow
def test_commands_run_on_small_scenes(tmp_path, capsys):
    arguments = ['--size', '128', '256', '--images', '1', '--rounds', '1', '--workers', '0']
    names = ['train', 'test', 'tta', 'predict']
    assert main([*names, *arguments, '--folder', str(tmp_path)]) == 0
    found = last_line(capsys)
    assert set(found) == set(names)
    assert all(set(one) == RATIOS and min(one.values()) > 0 for one in found.values())
    stock, ours = (accuracies(tmp_path / '128x256' / f'work_{side}') for side in ('stock', 'ours'))
    assert len(ours) == 2  # of test and tta
    assert stock == pytest.approx(ours, abs=0.1)


def test_a_command_that_fails_is_shown_with_what_it_said(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, 'write_weights', lambda config, file: None)
    bench = Bench(tmp_path, Setting(), Options(), (128, 256))
    script = tmp_path / 'fails.py'
    script.write_text('raise SystemExit("the reason")')
    monkeypatch.setattr(Bench, 'command', lambda self, side, name, count: (script, []))
    with pytest.raises(MachineError, match='the reason'):
        bench.run('ours', 'test', count=1)
