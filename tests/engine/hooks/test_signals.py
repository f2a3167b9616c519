"""A run that gets SIGTERM saves and leaves with 143; even one that is killed loses little."""

import os
import signal
import time
from pathlib import Path

import pytest
import toy_run

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
