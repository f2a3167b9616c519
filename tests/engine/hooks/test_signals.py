"""A run that is told to end saves and leaves; even one that is killed loses little."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kills
import pytest
import torch
import toy_run

from openseg_plugin.engine.hooks import signals
from openseg_plugin.engine.hooks.signals import SaveOnSignalHook
from openseg_plugin.engine.runner import loops

TERM = f'custom_hooks.0.signal_number={int(signal.SIGTERM)}'
KILL = f'custom_hooks.0.signal_number={int(signal.SIGKILL)}'


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


@pytest.fixture(scope='module')
def straight(data, tmp_path_factory) -> tuple[Path, dict]:
    """Config and last checkpoint of an uninterrupted run."""
    folder = tmp_path_factory.mktemp('straight')
    config = toy_run.toy_config(folder, data)
    assert toy_run.train(config, folder / 'work') == 0
    return config, toy_run.last_checkpoint(folder / 'work')


def test_sigterm_saves_the_next_step_and_resumes_exactly(straight, tmp_path):
    config, expected = straight
    with pytest.raises(SystemExit) as left:
        toy_run.train(config, tmp_path, TERM, 'custom_hooks.0.after_step=2')
    assert left.value.code == 143
    assert toy_run.last_checkpoint(tmp_path)['meta']['iter'] == 3  # no multiple of the interval
    assert toy_run.train(config, tmp_path, '--resume') == 0
    toy_run.assert_same_state(expected, toy_run.last_checkpoint(tmp_path))


def test_sigterm_within_validation_saves_at_once_and_resumes_exactly(straight, tmp_path):
    config, expected = straight
    late = 'default_hooks.checkpoint.interval=100'  # so that nothing else saves this step
    with pytest.raises(SystemExit) as left:
        toy_run.train(config, tmp_path, late, TERM, 'custom_hooks.0.in_validation_at=4')
    assert left.value.code == 143
    saved = toy_run.last_checkpoint(tmp_path)
    assert saved['meta']['iter'] == 4
    assert saved['openseg_plugin_loop']['last_validated'] == 0
    assert toy_run.train(config, tmp_path, late, '--resume') == 0
    assert toy_run.last_checkpoint(tmp_path)['message_hub']['runtime_info']['best_score'] > 0
    toy_run.assert_same_state(expected, toy_run.last_checkpoint(tmp_path))


@pytest.mark.parametrize('name', ['SIGINT', 'SIGHUP', 'SIGUSR1'])
def test_other_signals_save_too_and_have_their_own_status(straight, tmp_path, name):
    config, expected = straight
    number = int(getattr(signal, name))
    option = f'custom_hooks.0.signal_number={number}'
    # what starts in the background of a shell or under nohup ignores it
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as left:
            toy_run.train(config, tmp_path, option, 'custom_hooks.0.after_step=2')
    finally:
        signal.signal(number, before)
    assert left.value.code == 128 + number
    assert toy_run.last_checkpoint(tmp_path)['meta']['iter'] == 3
    assert toy_run.train(config, tmp_path, '--resume') == 0
    toy_run.assert_same_state(expected, toy_run.last_checkpoint(tmp_path))


def test_second_interrupt_ends_at_once():
    hook = SaveOnSignalHook()
    hook._note(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        hook._note(signal.SIGINT, None)


def test_interrupt_that_torchrun_passes_on_counts_once(monkeypatch):
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'any')
    hook = SaveOnSignalHook()
    hook._note(signal.SIGINT, None)
    hook._note(signal.SIGINT, None)
    monkeypatch.setattr(signals, '_ONE_PRESS', 0.0)
    with pytest.raises(KeyboardInterrupt):
        hook._note(signal.SIGINT, None)


def test_signal_that_was_to_be_ignored_stays_ignored(straight, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        option = f'custom_hooks.0.signal_number={int(signal.SIGHUP)}'
        assert toy_run.train(straight[0], tmp_path, option, 'custom_hooks.0.after_step=2') == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ('when', 'saved'), [('after_step=3', 4), ('after_step=6', 7), ('in_validation_at=4', 4)]
)
def test_sigterm_within_accumulated_gradients_resumes_exactly(straight, tmp_path, when, saved):
    config, _ = straight
    group = 'optim_wrapper.accumulative_counts=3'
    assert toy_run.train(config, tmp_path / 'straight', group) == 0
    with pytest.raises(SystemExit):
        toy_run.train(config, tmp_path / 'work', group, TERM, f'custom_hooks.0.{when}')
    assert toy_run.last_checkpoint(tmp_path / 'work')['meta']['iter'] == saved
    assert toy_run.train(config, tmp_path / 'work', group, '--resume') == 0
    toy_run.assert_same_state(
        *(toy_run.last_checkpoint(tmp_path / name) for name in ('straight', 'work'))
    )


def test_sigterm_with_averaged_weights_resumes_exactly(data, tmp_path):
    hooks = [dict(type='openseg_plugin.CutOffHook'), dict(type='EMAHook', momentum=0.1)]
    config = toy_run.toy_config(tmp_path, data, custom_hooks=hooks)
    assert toy_run.train(config, tmp_path / 'straight') == 0
    with pytest.raises(SystemExit):  # the model has the averaged weights while it validates
        toy_run.train(config, tmp_path / 'work', TERM, 'custom_hooks.0.in_validation_at=4')
    assert toy_run.train(config, tmp_path / 'work', '--resume') == 0
    one, other = (toy_run.last_checkpoint(tmp_path / name) for name in ('straight', 'work'))
    toy_run.assert_same_state(one, other)
    for name, value in one['ema_state_dict'].items():
        assert torch.equal(value, other['ema_state_dict'][name]), name


def long_training(data: Path, work: Path) -> subprocess.Popen:
    """A training without an end, with two loading processes, that has saved a checkpoint."""
    config = toy_run.toy_config(work.parent, data)
    options = ['train_cfg.max_iters=100000', 'train_cfg.val_interval=100000']
    options += ['train_dataloader.num_workers=2', 'default_hooks.checkpoint.interval=5']
    process = toy_run.start('tools/train.py', config, '--work-dir', work, '--cfg-options', *options)
    wait_for(work / 'last_checkpoint', process)
    return process


def test_killed_loading_process_costs_no_iteration(data, tmp_path):
    work = tmp_path / 'work'
    process = long_training(data, work)
    os.kill(kills.loaders(process.pid)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert 'Traceback' not in errors
    message = errors.strip().splitlines()[-1]
    assert 'out of memory?' in message and '--resume' in message
    saved = toy_run.last_checkpoint(work)['meta']['iter']
    assert f'iteration {saved} is saved in' in message


def test_loading_process_whose_parent_went_while_it_started_ends():
    """torch's own watch takes whoever adopted the process for its parent, and never ends it."""
    child = os.fork()
    if not child:
        options = dict(start=None, leaving=None, parent=os.getpid())  # of nobody it descends from
        loops._start_worker(0, **options)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells a process of its parent')
def test_loading_processes_end_with_their_process_when_it_is_killed(data, tmp_path):
    work = tmp_path / 'work'
    process = long_training(data, work)
    loading = kills.loaders(process.pid)
    assert len(loading) == 2
    process.kill()
    process.communicate(timeout=60)
    assert not kills.still_running(loading, kills.SURVIVAL_OF_LOADERS)


def test_sigterm_is_given_back_after_the_training(straight, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    assert toy_run.train(straight[0], tmp_path) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_to_the_whole_group_lets_loading_processes_finish(data, tmp_path):
    # as scancel does it: the workers that load data get the signal too
    config = toy_run.toy_config(tmp_path, data)
    options = ['train_cfg.max_iters=100000', 'train_cfg.val_interval=100000']
    options += ['train_dataloader.num_workers=2', 'default_hooks.checkpoint.interval=5']
    work = tmp_path / 'work'
    process = toy_run.start(
        'tools/train.py', config, '--work-dir', work, '--cfg-options', *options, own_group=True
    )
    wait_for(work / 'last_checkpoint', process)
    os.killpg(process.pid, signal.SIGTERM)
    begin = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert time.monotonic() - begin < 30
    assert 'Traceback' not in errors
    assert toy_run.last_checkpoint(work)['meta']['iter'] >= 5


@pytest.mark.parametrize('cut', ['', 'custom_hooks.0.in_validation_at=4'])
def test_loading_processes_do_not_hold_up_the_end(data, tmp_path, cut):
    config = toy_run.toy_config(tmp_path, data)
    options = [f'{split}_dataloader.num_workers=1' for split in ('train', 'val')]
    options += [f'{split}_dataloader.persistent_workers=True' for split in ('train', 'val')]
    options += [cut] if cut else []
    work = tmp_path / 'work'
    process = toy_run.start('tools/train.py', config, '--work-dir', work, '--cfg-options', *options)
    wait_for(work / ('iter_4.pth' if cut else 'best_mIoU_iter_8.pth'), process)
    begin = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if cut else 0), errors
    assert time.monotonic() - begin < 30
    assert 'Traceback' not in errors


def test_kill_loses_only_the_steps_since_the_last_checkpoint(straight, tmp_path):
    config, expected = straight
    options = ['--cfg-options', KILL, 'custom_hooks.0.after_step=5']
    process = toy_run.start('tools/train.py', config, '--work-dir', tmp_path, *options)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert toy_run.last_checkpoint(tmp_path)['meta']['iter'] == 4
    assert toy_run.train(config, tmp_path, '--resume') == 0
    toy_run.assert_same_state(expected, toy_run.last_checkpoint(tmp_path))


def wait_for(file: Path, process) -> None:
    """Returns when ``file`` is there; fails if the process ends before or in two minutes."""
    for _ in range(1200):
        if file.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f'{file} did not appear')
