"""What a reader sees of a training: a few lines, then progress; the log file has the rest."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy_run
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from openseg_plugin.cli.main import main
from openseg_plugin.engine.hooks.console import ConsoleHook
from openseg_plugin.engine.optim.schedulers import BFloat16OptimWrapper

MOST = 30  # lines before the first iteration
OF_THE_LOG = ('System environment:', 'Config:', 'Hooks will be executed', 'GCC', 'Iter(train)')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


def openseg(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'openseg_plugin', *map(str, arguments)],
        cwd=toy_run.ROOT,
        env=toy_run.environment(),
        capture_output=True,
        text=True,
    )


def test_json_is_all_of_standard_output(tmp_path, data, capfd):
    config = toy_run.toy_config(tmp_path, data, train_cfg=dict(max_iters=2, val_interval=2))
    words = ['--work-dir', str(tmp_path / 'work'), '--json']
    assert main(['train', str(config), *words]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told['work_dir'] == str(tmp_path / 'work') and told['iteration'] == 2
    assert Path(told['checkpoint']).is_file() and 0 <= told['metrics']['mIoU'] <= 100


def test_terminal_has_a_few_lines_and_the_log_file_the_rest(tmp_path, data):
    config = toy_run.toy_config(tmp_path, data, train_cfg=dict(max_iters=4, val_interval=2))
    work_dir = tmp_path / 'work'
    done = openseg('train', config, '--work-dir', work_dir)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    lines = done.stdout.splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith('iteration 1/4'))
    header = '\n'.join(lines[:first])
    assert first <= MOST
    for fact in (str(config), '4 images to train on', 'cpu', str(work_dir), 'from scratch'):
        assert fact in header, fact
    assert re.search(r'loss [\d.]+  lr [\d.e-]+  [\d.]+ images/s  ETA \d:\d\d:\d\d', lines[first])
    assert sum(line.startswith('iteration ') for line in lines) == 4
    assert sum(line.startswith('validation after') and 'mIoU' in line for line in lines) == 2
    assert not [text for text in (*OF_THE_LOG, 'per class results') if text in done.stdout]
    log = re.search(r'^log +(.*\.log)$', done.stdout, re.M)[1]
    with open(log) as file:
        text = file.read()
    assert not [one for one in OF_THE_LOG if one not in text]


@pytest.mark.parametrize(
    ('kind', 'is_mixed'),
    [(OptimWrapper, False), (AmpOptimWrapper, True), (BFloat16OptimWrapper, True)],
)
def test_header_names_mixed_precision_of_either_kind(tmp_path, kind, is_mixed):
    lines = []
    loader = SimpleNamespace(dataset=[0, 1], batch_sampler=SimpleNamespace(batch_size=2))
    runner = SimpleNamespace(
        model=nn.Conv2d(1, 1, 1),
        train_dataloader=loader,
        val_loop=None,
        optim_wrapper=object.__new__(kind),  # that of fp16 is built on a GPU alone
        max_iters=4,
        work_dir=str(tmp_path),
        _resume=False,
        _load_from=str(tmp_path / 'weights.pth'),
    )
    console = SimpleNamespace(begin=lines.extend, log_file=str(tmp_path / 'log'))
    ConsoleHook(console, []).before_train(runner)
    (device,) = [line for line in lines if line.startswith('device ')]
    assert ('mixed precision' in device) is is_mixed


def test_learning_rate_of_the_line_is_the_one_that_trains():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.25)
    wrapper = OptimWrapper(optimizer)
    wrapper.base_param_settings = dict(params=[parameter], lr=0.01)  # as a rate scaled to the batch
    assert list(wrapper.get_lr()) == ['base_lr', 'lr']
    loader = SimpleNamespace(batch_sampler=SimpleNamespace(batch_size=2))
    runner = SimpleNamespace(max_iters=4, train_dataloader=loader, optim_wrapper=wrapper)
    hook = ConsoleHook(SimpleNamespace(), [])
    hook._times = [0.0, 1.0]
    assert '  lr 0.25  ' in hook._line(runner, 1, {})


def test_error_is_all_that_a_reader_sees(tmp_path, data):
    config = toy_run.toy_config(tmp_path, data)
    arguments = ['--work-dir', tmp_path / 'work', '--cfg-options', 'model.norms=True']
    done = openseg('train', config, *arguments)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert 'norms' in done.stderr
