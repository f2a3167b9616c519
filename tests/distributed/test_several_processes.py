"""Several gloo processes train as one process does, stop together, and never hang.

Data are augmented at random in all of these runs. Labels have no ignored pixels, so the mean over
the processes' means is the mean over the batch; without normalization and dropout the runs differ
by the order of float32 additions only.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy_run
from toy_test_set import write_test_set

from openseg_plugin.cli import test as testing
from openseg_plugin.cli.main import run

pytestmark = pytest.mark.distributed

STEPS = 4
SECONDS = 120  # a run takes about 15 on two idle cores; nothing may hang
TOLERANCE = 1e-6  # absolute; weights and losses are of the order of 1
PLAIN = ('model.norm=False', 'model.dropout=0.0')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=9)


@pytest.fixture(scope='module')
def config(data, tmp_path_factory) -> Path:
    return toy_run.toy_config(
        tmp_path_factory.mktemp('config'),
        data,
        custom_hooks=[
            dict(type='openseg_plugin.CutOffHook'),
            dict(type='openseg_plugin.LossFileHook'),
        ],
        train_cfg=dict(max_iters=STEPS, val_interval=STEPS),
    )


def train(config: Path, work_dir: Path, *options: str, processes: int, resume: bool = False):
    """dist_train.sh in ``processes`` processes; returns its exit status and stderr."""
    more = ['--resume'] * resume
    return script(
        'dist_train.sh', config, processes, '--work-dir', work_dir, *more, '--cfg-options', *options
    )


def script(name: str, *arguments: object) -> tuple[int, str]:
    """Runs a script of tools/; returns its exit status and stderr."""
    done = subprocess.run(
        ['bash', f'tools/{name}', *map(str, arguments)],
        cwd=toy_run.ROOT,
        env={**toy_run.environment(), 'PYTHON': sys.executable},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


def losses(work_dir: Path) -> torch.Tensor:
    """(steps,) mean over the processes."""
    files = sorted(work_dir.glob('losses_*.txt'))
    return torch.tensor([[float(x) for x in file.read_text().split()] for file in files]).mean(0)


def metrics(work_dir: Path) -> dict:
    """Metrics of the last validation."""
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in file.read_text().splitlines()]
    (found,) = [record for record in records if 'mIoU' in record]
    return {name: found[name] for name in ('mIoU', 'aAcc', 'mAcc')}


@pytest.mark.parametrize('processes', [2, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_equal_one_process_with_the_same_global_batch(config, tmp_path, processes):
    one, several = tmp_path / 'one', tmp_path / 'several'
    batch = 'train_dataloader.batch_size={}'
    assert toy_run.train(config, one, *PLAIN, batch.format(8)) == 0
    status, errors = train(
        config, several, *PLAIN, batch.format(8 // processes), processes=processes
    )
    assert status == 0, errors
    assert len(list(several.glob('losses_*.txt'))) == processes
    torch.testing.assert_close(losses(several), losses(one), rtol=0, atol=TOLERANCE)
    first, second = (toy_run.last_checkpoint(folder)['state_dict'] for folder in (one, several))
    torch.testing.assert_close(second, first, rtol=0, atol=TOLERANCE)
    assert not torch.equal(losses(one)[:1], losses(one)[1:2])  # it did train


@pytest.mark.slow
def test_validation_counts_every_image_once(config, tmp_path):
    # 9 images on 2 processes: the second is given one that the first has had
    still = ('optim_wrapper.optimizer.lr=0.0', "val_evaluator.type='openseg_plugin.IoUMetric'")
    still += ('train_cfg.max_iters=1',)
    assert toy_run.train(config, tmp_path / 'one', *still) == 0
    start = f'load_from={tmp_path / "one" / "iter_1.pth"}'
    assert toy_run.train(config, tmp_path / 'again', *still, start, 'model.norm=False') == 0
    status, errors = train(config, tmp_path / 'two', *still, start, 'model.norm=False', processes=2)
    assert status == 0, errors
    assert metrics(tmp_path / 'two') == metrics(tmp_path / 'again')


@pytest.mark.slow
def test_testing_in_processes_equals_testing_in_one(tmp_path):
    # 5 images on 2 processes
    files = write_test_set(tmp_path)
    for_one = [*map(str, files), '--work-dir', str(tmp_path / 'one')]
    assert run(testing.main, for_one) == 0
    status, errors = script('dist_test.sh', *files, 2, '--work-dir', tmp_path / 'two')
    assert status == 0, errors
    metrics = [
        json.loads((tmp_path / name / 'test' / 'metrics.json').read_text())
        for name in ('one', 'two')
    ]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_sigterm_to_one_process_stops_all_and_resumes_exactly(config, tmp_path):
    random = ('model.dropout=0.5',)
    status, errors = train(config, tmp_path / 'straight', *random, processes=2)
    assert status == 0, errors
    work = tmp_path / 'work'
    cut = ('custom_hooks.0.after_step=2', 'custom_hooks.0.rank=1')
    cut += (f'custom_hooks.0.signal_number={int(signal.SIGTERM)}',)
    status, errors = train(config, work, *random, *cut, processes=2)
    assert status == 143, errors
    assert toy_run.last_checkpoint(work)['meta']['iter'] == 3
    status, errors = train(config, work, *random, processes=2, resume=True)
    assert status == 0, errors
    last = toy_run.last_checkpoint(work)
    toy_run.assert_same_state(toy_run.last_checkpoint(tmp_path / 'straight'), last)
    name = 'backbone.1.running_mean'  # the weights have the mean over the processes
    one, other = (part[name] for part in last['openseg_plugin_loop']['buffers'])
    assert not torch.equal(one, other)
    torch.testing.assert_close(last['state_dict'][name], (one + other) / 2)


@pytest.mark.slow
def test_process_that_raises_ends_the_run_with_its_error(config, tmp_path):
    options = ('model.die_at=3', 'model.bad_rank=1')
    status, errors = train(config, tmp_path, *options, processes=2)
    assert status == 1
    assert 'this process dies on purpose' in errors


@pytest.mark.slow
def test_process_that_is_killed_ends_the_run(config, tmp_path):
    cut = ('custom_hooks.0.after_step=3', 'custom_hooks.0.rank=1')
    cut += (f'custom_hooks.0.signal_number={int(signal.SIGKILL)}',)
    status, errors = train(config, tmp_path, *cut, processes=2)
    assert status in (1, 137)  # the other process may be the first to report the broken connection
    assert 'ended with status' in errors


@pytest.mark.slow
@pytest.mark.parametrize('split', ['train', 'val'])
def test_killed_loading_process_costs_no_iteration_of_several_processes(config, tmp_path, split):
    plain = (
        'train_cfg.max_iters=9',
        'train_dataloader.num_workers=1',
        'val_dataloader.num_workers=1',
    )
    work = tmp_path / 'work'
    where = 'after_step=2' if split == 'train' else 'in_validation_at=4'
    cut = (f'custom_hooks.0.{where}', 'custom_hooks.0.rank=1', 'custom_hooks.0.loader=True')
    status, errors = train(config, work, *plain, *cut, processes=2)
    assert status == 1, errors
    assert 'Traceback' not in errors
    assert 'a loading process was killed (out of memory?): iteration' in errors
    saved = toy_run.last_checkpoint(work)['meta']['iter']
    assert f'iteration {saved} is saved in' in errors
    status, errors = train(config, work, *plain, processes=2, resume=True)
    assert status == 0, errors
    status, errors = train(config, tmp_path / 'straight', *plain, processes=2)
    assert status == 0, errors
    toy_run.assert_same_state(
        toy_run.last_checkpoint(tmp_path / 'straight'), toy_run.last_checkpoint(work)
    )


def test_nan_on_one_process_stops_all_with_one_sentence(config, tmp_path, data):
    options = ('model.nan_at=3', 'model.bad_rank=1', 'default_hooks.checkpoint.interval=1')
    status, errors = train(config, tmp_path, *options, processes=2)
    assert status == 2
    assert 'Traceback' not in errors
    (message,) = [line for line in errors.splitlines() if line.startswith('error: ')]
    assert 'the loss is not finite at iteration 3' in message
    assert message.count(str(data / 'train' / 'image')) == 2  # the images of that process alone
    assert toy_run.last_checkpoint(tmp_path)['meta']['iter'] == 2
