"""Joining a group: what each launcher says, and what is missing."""

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from openseg_plugin.cli.main import message_for
from openseg_plugin.config.building import naming_key
from openseg_plugin.engine.distributed import process_group
from openseg_plugin.engine.distributed.process_group import (
    check_gpus,
    destroy,
    init,
    launcher_in_use,
)
from openseg_plugin.errors import ConfigError

NAMES = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'TORCHELASTIC_RUN_ID')


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    monkeypatch.setattr(os, 'environ', os.environ.copy())
    for name in NAMES:
        os.environ.pop(name, None)


@pytest.fixture
def group(monkeypatch) -> dict:
    """What would be given to torch to make the group."""
    given = {}
    monkeypatch.setattr(distributed, 'init_process_group', lambda **options: given.update(options))
    return given


def test_launcher_is_found_under_torchrun():
    assert launcher_in_use(None) == 'none'
    os.environ['TORCHELASTIC_RUN_ID'] = 'x'
    assert launcher_in_use(None) == 'pytorch'
    assert launcher_in_use('slurm') == 'slurm'


def test_end_of_a_group_leaves_the_sentence_about_an_unknown_option():
    cfg = Config(dict(custom_hooks=[dict(type='IterTimerHook', bogus=1)]))
    with pytest.raises(TypeError) as raised, naming_key(cfg):
        HOOKS.build(cfg.custom_hooks[0])
    traceback.clear_frames(raised.value.__traceback__)  # as destroy() does
    sentence = message_for(raised.value)
    assert sentence.startswith('custom_hooks.0 gives an option that does not exist, bogus')


def test_no_launcher_makes_no_group(group):
    cfg = Config()
    init(cfg, 'none')
    assert cfg.to_dict() == {'launcher': 'none'}
    assert group == {}


@pytest.mark.parametrize(
    ('launcher', 'names'),
    [
        ('pytorch', ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')),
        ('slurm', ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID')),
        (
            'mpi',
            ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
        ),
    ],
)
def test_launchers_variables_are_understood(group, monkeypatch, launcher, names):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    os.environ.update(dict(zip(names, ('5', '8', '1'))), MASTER_ADDR='node0')
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=60))))
    init(cfg, launcher)
    assert [os.environ[name] for name in NAMES[:5]] == ['5', '8', '1', 'node0', '29500']
    assert group['backend'] == 'gloo'
    assert group['timeout'].total_seconds() == 60
    assert cfg.model_wrapper_cfg.device_ids is None


def test_gpu_gets_nccl_and_a_device_of_its_own(group, monkeypatch):
    selected = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.setattr(torch.cuda, 'set_device', selected.append)
    os.environ.update(RANK='6', WORLD_SIZE='8', LOCAL_RANK='2')
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl'))))
    init(cfg, 'pytorch')
    assert group == {'backend': 'nccl'}
    assert selected == [2]
    assert cfg.model_wrapper_cfg.device_ids == [2]


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_missing_variables_say_how_to_start(launcher):
    with pytest.raises(ConfigError, match=rf'--launcher {launcher} needs .* start it with'):
        init(Config(), launcher)


def test_slurm_names_the_first_node_as_meeting_point(group, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    answer = process_group.subprocess.CompletedProcess([], 0, stdout='node3\nnode4\n')
    monkeypatch.setattr(process_group.subprocess, 'run', lambda *args, **kwargs: answer)
    os.environ.update(SLURM_PROCID='0', SLURM_NTASKS='2', SLURM_LOCALID='0')
    os.environ.update(SLURM_NODELIST='node[3-4]')
    init(Config(), 'slurm')
    assert os.environ['MASTER_ADDR'] == 'node3'


@pytest.mark.parametrize(('there', 'wanted'), [(0, 8), (4, 4), (4, 1)])
def test_gpus_that_are_there_or_none_at_all_pass(monkeypatch, there, wanted):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: there)
    check_gpus(wanted)


def test_too_few_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    with pytest.raises(ConfigError, match=r'2 GPUs .*has 1'):
        check_gpus(2)


class _Runner:
    """Knows itself, as mmengine's runner does through its hooks: only the collector frees it."""

    def __init__(self):
        self.itself = self
        self.model = DistributedDataParallel(torch.nn.Linear(1, 1))
        self.model(torch.ones(1, 1)).sum().backward()


def _run(error: type[Exception] | None) -> None:
    runner = _Runner()
    if error is not None:
        raise error('stopped') from _cause(runner)


def _run_and_destroy(error: type[Exception] | None) -> None:
    try:
        _run(error)
    finally:
        destroy()


def _cause(runner: _Runner) -> Exception:
    try:
        raise KeyError(runner.model.module.bias.name)
    except KeyError as error:
        return error


@pytest.mark.skipif(sys.platform != 'linux', reason='lists threads by /proc')
@pytest.mark.parametrize('error', [None, ValueError])
def test_no_thread_of_the_group_is_left_when_it_is_ended(tmp_path, error):
    distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path / "store"}', rank=0, world_size=1
    )
    deadline = time.monotonic() + 30
    while not any('gloo' in name for name in _thread_names()):  # a thread names itself
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(error) if error else contextlib.nullcontext():
        _run_and_destroy(error)
    assert not [name for name in _thread_names() if 'gloo' in name]
    assert not distributed.is_initialized()


def _thread_names() -> list[str]:
    names = []
    for folder in Path('/proc/self/task').iterdir():
        with contextlib.suppress(FileNotFoundError):  # it ended meanwhile
            names.append((folder / 'comm').read_text().strip())
    return names
