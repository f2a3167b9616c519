"""python -m benchmarks growth: how time and memory grow along one axis."""

import json

import pytest

from benchmarks import commands, growth
from benchmarks.__main__ import main
from benchmarks.commands import Bench, Usage
from openseg_plugin.errors import ConfigError


@pytest.fixture
def without_processes(monkeypatch):
    """A run takes 3 s for every megapixel and 1 s for every iteration."""

    def run(self, side, name, *, count):
        assert side == 'ours'
        seconds = 3 * self.size[0] * self.size[1] / 2**20 + count
        return Usage(seconds, seconds, 100.0, None, '')

    monkeypatch.setattr(Bench, 'run', run)
    monkeypatch.setattr(Bench, 'draw', lambda self, **counts: None)
    for module in (commands, growth):
        monkeypatch.setattr(module, 'write_weights', lambda config, file: None)


def rows(capsys, axis: str) -> list[dict]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])[axis]


@pytest.mark.parametrize(
    ('axis', 'expected'),
    [
        ('image', [3 * h * w / 2**20 + 1 for h, w in growth.SIZES]),
        ('classes', [2.5] * len(growth.CLASSES)),
        ('batch', [1.0] * len(growth.BATCHES)),  # of a further iteration
        ('scales', [2.5] * 4),
    ],
)
def test_rows_are_what_one_run_takes(without_processes, capsys, axis, expected):
    assert main(['growth', '--op', axis, '--rounds', '1']) == 0
    assert [row['seconds'] for row in rows(capsys, axis)] == pytest.approx(expected)


@pytest.mark.slow
def test_datasets_of_every_length_start(monkeypatch, capsys):
    monkeypatch.setattr(growth, 'LENGTHS', (10, 3000))
    assert main(['growth', '--op', 'length', '--rounds', '1']) == 0
    found = rows(capsys, 'length')
    assert [row['value'] for row in found] == ['10', '3,000']
    assert all(row['seconds'] > 0 for row in found)


@pytest.mark.slow
def test_loading_by_more_workers_is_measured(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(growth, '_SAMPLES', 2)
    monkeypatch.setattr(growth, 'WORKERS', (0, 1))
    monkeypatch.setattr(commands, 'write_weights', lambda config, file: None)
    assert main(['growth', '--op', 'workers', '--rounds', '1', '--folder', str(tmp_path)]) == 0
    assert [row['seconds'] > 0 for row in rows(capsys, 'workers')] == [True, True]


@pytest.mark.parametrize('arguments', [['growth', '--op', 'colors'], ['growth', 'test']])
def test_what_cannot_be_measured_is_named(arguments):
    with pytest.raises(ConfigError, match=r'--op colors|growth runs alone'):
        main(arguments)
