"""Checkpoints survive full disks and cut-off writes; the next run finds the newest good one."""

import builtins
import copy
import errno
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
import torch
import toy_run

from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.engine.hooks.checkpoint import CheckpointHook
from openseg_plugin.engine.runner.resume import newest_readable
from openseg_plugin.errors import CheckpointError, ConfigError


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


@pytest.fixture
def config(data, tmp_path) -> Path:
    return toy_run.toy_config(tmp_path, data)


def names(work_dir: Path) -> set[str]:
    """Files of the work folder, those of the logs left out."""
    return {file.name for file in work_dir.iterdir() if file.is_file()} - {'toy.py'}


def full_disk_at(monkeypatch, part: str) -> None:
    """Files with ``part`` in their name can be written only by half."""
    real_open = builtins.open

    def fake_open(file, mode='r', *args, **kwargs):
        handle = real_open(file, mode, *args, **kwargs)
        return _HalfWritten(handle) if 'w' in mode and part in str(file) else handle

    monkeypatch.setattr(builtins, 'open', fake_open)


class _HalfWritten:
    def __init__(self, handle) -> None:
        self.handle = handle

    def __enter__(self) -> '_HalfWritten':
        return self

    def __exit__(self, *error) -> None:
        self.handle.close()

    def write(self, content) -> int:
        self.handle.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_full_keeps_the_old_checkpoint_and_says_so(config, tmp_path, monkeypatch, capsys):
    work = tmp_path / 'work'
    full_disk_at(monkeypatch, 'iter_4.')
    status = toy_run.train(config, work, 'default_hooks.checkpoint.max_keep_ckpts=1')
    assert status == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith('error: ')
    assert 'iter_4.pth' in message and 'the disk is full' in message and '--resume' in message
    assert names(work) == {'iter_2.pth', 'last_checkpoint'}
    assert toy_run.last_checkpoint(work)['meta']['iter'] == 2
    monkeypatch.undo()
    assert toy_run.train(config, work, '--resume') == 0
    assert toy_run.last_checkpoint(work)['meta']['iter'] == 8


def test_disk_full_for_last_checkpoint_file_keeps_the_pointer(config, tmp_path, monkeypatch):
    work = tmp_path / 'work'
    assert toy_run.train(config, work, 'custom_hooks.0.after_step=2') == 130
    pointer = (work / 'last_checkpoint').read_text()
    full_disk_at(monkeypatch, '.last_checkpoint')
    assert toy_run.train(config, work, '--resume') == 2
    assert (work / 'last_checkpoint').read_text() == pointer
    assert {'iter_2.pth', 'iter_4.pth'} <= names(work)  # nothing deleted before the pointer moved


@pytest.mark.parametrize('keep', [1, 2, -1])
def test_max_keep_leaves_that_many(config, tmp_path, keep):
    assert (
        toy_run.train(config, tmp_path / 'w', f'default_hooks.checkpoint.max_keep_ckpts={keep}')
        == 0
    )
    kept = sorted(name for name in names(tmp_path / 'w') if name.startswith('iter_'))
    assert (
        kept == ['iter_2.pth', 'iter_4.pth', 'iter_6.pth', 'iter_8.pth'][-keep if keep > 0 else 0 :]
    )


def test_best_checkpoint_replaces_the_former_best(config, tmp_path):
    work = tmp_path / 'work'
    assert toy_run.train(config, work, 'train_cfg.val_interval=2') == 0
    (best,) = work.glob('best_*')
    info = toy_run.last_checkpoint(work)['message_hub']['runtime_info']
    assert info['best_ckpt'] == str(best)
    assert 'optimizer' not in read_checkpoint(best)


def test_several_best_metrics_have_a_checkpoint_each(config, tmp_path):
    work = tmp_path / 'work'
    assert toy_run.train(config, work, 'default_hooks.checkpoint.save_best=[mIoU,aAcc]') == 0
    assert {file.name.split('_')[1] for file in work.glob('best_*')} == {'mIoU', 'aAcc'}


def test_best_metric_that_is_not_measured_is_named_and_the_run_goes_on(config, tmp_path, capsys):
    work = tmp_path / 'work'
    assert toy_run.train(config, work, 'default_hooks.checkpoint.save_best=mDice') == 0
    output = capsys.readouterr()
    assert "save_best is ['mDice'], but the validation measures aAcc, mIoU, mAcc" in (
        output.out + output.err
    )
    assert not list(work.glob('best_*'))


@pytest.mark.parametrize(
    'option',
    [
        'save_best=metric',
        'interval_=3',
        'interval=0',
        'interval=1.5',
        'max_keep_ckpts=two',
        'filename_tmpl=last.pth',
        'filename_tmpl=weights/iter_{}.pth',
        'filename_tmpl=iter_{:s}.pth',
        'filename_tmpl=iter_{name}.pth',
        'filename_tmpl=iter_{:.1f}.pth',
        'filename_tmpl=iter_{:x}.pth',
        'backend_args.backend=petrel',
        'out_dir=s3://bucket/runs',
        'out_dir=7',
        'save_begin=late',
        'by_epoch=True',
    ],
)
def test_option_that_cannot_work_is_refused_before_the_training(config, tmp_path, capsys, option):
    status = toy_run.train(config, tmp_path / 'w', f'default_hooks.checkpoint.{option}')
    assert status == 2
    assert 'error: default_hooks.checkpoint' in capsys.readouterr().err


def test_checkpoints_are_counted_as_the_training_counts(data, tmp_path):
    hook = dict(_delete_=True, type='openseg_plugin.CheckpointHook', interval=3)
    config = toy_run.toy_config(tmp_path, data, default_hooks=dict(checkpoint=hook))
    assert toy_run.train(config, tmp_path / 'iterations') == 0
    kept = {'iter_3.pth', 'iter_6.pth', 'iter_8.pth'}
    assert kept <= names(tmp_path / 'iterations')
    loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=3, val_interval=3)
    config = toy_run.toy_config(tmp_path, data, default_hooks=dict(checkpoint=hook), train_cfg=loop)
    option = 'train_dataloader.sampler.type=DefaultSampler'
    assert toy_run.train(config, tmp_path / 'epochs', option) == 0
    assert 'epoch_3.pth' in names(tmp_path / 'epochs')


def test_run_whose_checkpoints_cannot_be_resumed_says_so(config, tmp_path, capsys):
    option = 'default_hooks.checkpoint.save_optimizer=False'
    assert toy_run.train(config, tmp_path / 'w', option) == 0
    output = capsys.readouterr()
    assert '--resume cannot go on from them' in output.out + output.err


def test_folder_of_the_checkpoints_may_be_a_path():
    assert CheckpointHook(out_dir=Path('runs') / 'a').out_dir == os.path.join('runs', 'a')


def test_unknown_option_is_named():
    with pytest.raises(ConfigError, match='no option max_keep:'):
        CheckpointHook(max_keep=2)


def test_remnants_of_a_cut_off_write_are_cleared(config, tmp_path):
    work = tmp_path / 'work'
    work.mkdir()
    (work / '.iter_2.pth.4711.tmp').write_bytes(b'half')
    assert toy_run.train(config, work) == 0
    assert not list(work.glob('.*'))


@pytest.mark.parametrize(
    ('last', 'content'),
    [('iter_4.pth', b''), ('iter_4.pth', b'PK\x03\x04 cut off'), ('gone.pth', None)],
)
def test_resume_passes_over_what_cannot_be_read(config, tmp_path, caplog, last, content):
    work = tmp_path / 'work'
    assert toy_run.train(config, work, 'custom_hooks.0.after_step=2') == 130
    if content is not None:
        (work / last).write_bytes(content)
    (work / 'last_checkpoint').write_text(str(work / last))
    assert newest_readable(str(work)) == str(work / 'iter_2.pth')
    assert toy_run.train(config, work, '--resume') == 0
    assert toy_run.last_checkpoint(work)['meta']['iter'] == 8


def test_resume_without_any_readable_checkpoint_is_refused(tmp_path):
    (tmp_path / 'iter_2.pth').write_bytes(b'nothing')
    (tmp_path / 'iter_4.pth').write_bytes(b'nothing')
    with pytest.raises(CheckpointError, match='none of the 2 checkpoints'):
        newest_readable(str(tmp_path))


def test_newest_of_no_checkpoints_is_none(tmp_path):
    assert newest_readable(str(tmp_path)) is None


@pytest.mark.parametrize('pointer', [None, '/elsewhere/iter_7.pth', 'iter_4.pth'])
def test_newest_goes_by_iteration_whatever_the_pointer_and_the_clock_say(tmp_path, pointer):
    for age, name in enumerate(['iter_20.pth', 'iter_4.pth', 'iter_100.pth']):
        torch.save({}, tmp_path / name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    if pointer:
        (tmp_path / 'last_checkpoint').write_text(pointer)
    assert newest_readable(str(tmp_path)) == str(tmp_path / 'iter_100.pth')


def test_copied_folder_resumes_from_itself_and_leaves_the_original_alone(config, tmp_path):
    one, copy = tmp_path / 'one', tmp_path / 'copy'
    often = ('train_cfg.val_interval=1', 'model.dropout=0.0')
    assert toy_run.train(config, one, *often, 'custom_hooks.0.after_step=4') == 130
    shutil.copytree(one, copy)
    before = {path: path.read_bytes() for path in one.glob('*') if path.is_file()}
    (copy / 'iter_4.pth').unlink()
    assert toy_run.train(config, copy, *often, '--resume') == 0
    assert toy_run.last_checkpoint(copy)['meta']['iter'] == 8
    assert Path((copy / 'last_checkpoint').read_text()).parent == copy
    assert {path: path.read_bytes() for path in one.glob('*') if path.is_file()} == before


def test_best_checkpoint_of_another_folder_is_never_deleted(config, tmp_path):
    one, other = tmp_path / 'one', tmp_path / 'other'
    often = ('train_cfg.val_interval=2',)
    assert toy_run.train(config, one, *often, 'custom_hooks.0.after_step=4') == 130
    (best,) = one.glob('best_*')
    start = one / 'iter_2.pth'
    assert toy_run.train(config, other, *often, '--resume', str(start)) == 0
    assert best.is_file() and start.is_file()
    assert len(list(other.glob('best_*'))) <= 1


@pytest.mark.parametrize('record', ['victim.txt', 'iter_2.pth', 7])
def test_record_of_a_best_checkpoint_cannot_delete_other_files(config, tmp_path, record):
    work = tmp_path / 'work'
    assert toy_run.train(config, work, 'custom_hooks.0.after_step=4') == 130
    victim = tmp_path / str(record)
    victim.write_text('mine')
    checkpoint = read_checkpoint(work / 'iter_4.pth')
    checkpoint['message_hub']['runtime_info'].update(best_ckpt=str(victim), best_score=-1.0)
    torch.save(checkpoint, work / 'iter_4.pth')
    assert toy_run.train(config, work, '--resume', 'default_hooks.checkpoint.max_keep_ckpts=9') == 0
    assert victim.read_text() == 'mine'
    assert (work / 'iter_2.pth').is_file()
    assert len(list(work.glob('best_*'))) == 1


def test_checkpoints_of_a_former_run_are_set_aside_not_resumed(config, tmp_path):
    work = tmp_path / 'work'
    assert toy_run.train(config, work) == 0
    assert toy_run.train(config, work, 'custom_hooks.0.after_step=2') == 130
    assert {file.name for file in work.glob('*iter_*') if 'best' not in file.name} == {
        'iter_2.pth',
        'superseded_iter_6.pth',
        'superseded_iter_8.pth',
    }
    assert newest_readable(str(work)) == str(work / 'iter_2.pth')


def test_second_training_in_a_work_folder_is_refused(config, tmp_path, capsys):
    work = tmp_path / 'work'
    holder = toy_run.start('-c', HOLDER.format(folder=str(work)))
    try:
        assert holder.stdout.readline() == 'locked\n'
        assert toy_run.train(config, work) == 2
        message = capsys.readouterr().err
        assert f'process {holder.pid}' in message and socket.gethostname() in message
        assert names(work) == {'.lock'}
    finally:
        holder.kill()
        holder.communicate()
    assert toy_run.train(config, work) == 0  # the lock went with its process
    assert not (work / '.lock').exists()


HOLDER = """
import time
from openseg_plugin.engine.runner.resume import lock
lock({folder!r})
print('locked', flush=True)
time.sleep(100)
"""


def test_other_peoples_hooks_find_what_mmengine_offers(config, tmp_path):
    work = tmp_path / 'work'
    assert toy_run.train(config, work) == 0
    info = toy_run.last_checkpoint(work)['message_hub']['runtime_info']
    assert info['last_ckpt'] == str(work / 'iter_8.pth')
    assert info['best_ckpt'].startswith(str(work))


def test_checkpoints_in_another_folder_are_found_again(config, tmp_path):
    out = f'default_hooks.checkpoint.out_dir={tmp_path / "out"}'
    assert toy_run.train(config, tmp_path / 'w', out, 'custom_hooks.0.after_step=4') == 130
    assert (tmp_path / 'out' / 'w' / 'iter_4.pth').is_file()
    assert toy_run.train(config, tmp_path / 'w', out, '--resume') == 0
    assert toy_run.last_checkpoint(tmp_path / 'w')['meta']['iter'] == 8


def test_resume_from_bare_weights_is_refused(config, tmp_path, capsys):
    assert toy_run.train(config, tmp_path / 'a') == 0
    (best,) = (tmp_path / 'a').glob('best_*')
    assert toy_run.train(config, tmp_path / 'b', '--resume', str(best)) == 2
    assert f'{best} holds no training to go on with' in capsys.readouterr().err


def test_resume_in_empty_folder_starts_from_load_from(config, tmp_path):
    assert toy_run.train(config, tmp_path / 'a') == 0
    weights = tmp_path / 'a' / 'iter_8.pth'
    start = (f'load_from={weights}', 'optim_wrapper.optimizer.lr=0.0', '--resume')
    assert toy_run.train(config, tmp_path / 'b', *start) == 0
    last = toy_run.last_checkpoint(tmp_path / 'b')
    assert last['meta']['iter'] == 8
    first = read_checkpoint(weights)['state_dict']['decode_head.weight']
    assert torch.equal(last['state_dict']['decode_head.weight'], first)


DAMAGED = {
    'meta.iter': (('meta', 'iter'), '4', 2),
    'count below 0': (('meta', 'iter'), -3, 2),
    'loop': (('openseg_plugin_loop',), [1], 2),
    'random states': (('openseg_plugin_loop', 'random'), [{'python': 1}], 2),
    'position': (('openseg_plugin_loop', 'position'), -5, 2),
    'buffers': (('openseg_plugin_loop', 'buffers'), 7, 2),
    'optimizer': (('optimizer', 'param_groups'), 7, 2),
    'schedules': (('param_schedulers',), [{'_get_value': 1, 'last_step': 4}], 2),
    'message hub': (('message_hub', 'runtime_info'), [1], 2),
    # what only helps to keep order is left out
    'kept checkpoints': (('message_hub', 'runtime_info', 'keep_ckpt_ids'), ['../x', -1], 0),
    'best score': (('message_hub', 'runtime_info', 'best_score'), 'high', 0),
}


@pytest.mark.parametrize(('keys', 'value', 'status'), DAMAGED.values(), ids=DAMAGED)
def test_state_of_a_training_that_nobody_wrote_is_one_sentence(
    cut, tmp_path, capsys, keys, value, status
):
    config, checkpoint = cut
    changed = part = copy.deepcopy(dict(checkpoint))
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (tmp_path / 'w').mkdir()
    torch.save(changed, tmp_path / 'w' / 'iter_4.pth')
    assert toy_run.train(config, tmp_path / 'w', '--resume') == status
    message = capsys.readouterr().err
    assert 'Traceback' not in message
    assert ('iter_4.pth holds a damaged state of a training' in message) == (status == 2)


@pytest.mark.parametrize(
    ('buffer', 'words'),
    [
        (torch.ones(7, 3), 'momentum_buffer of {name} is of shape (7, 3), and the parameter'),
        ('x', 'momentum_buffer of {name} is missing'),
    ],
    ids=['shape', 'no tensor'],
)
def test_state_of_an_optimizer_that_does_not_fit_a_parameter_is_one_sentence(
    cut, tmp_path, capsys, buffer, words
):
    config, checkpoint = cut
    changed = copy.deepcopy(dict(checkpoint))
    changed['optimizer']['state'][0]['momentum_buffer'] = buffer
    (tmp_path / 'w').mkdir()
    torch.save(changed, tmp_path / 'w' / 'iter_4.pth')
    assert toy_run.train(config, tmp_path / 'w', '--resume') == 2
    message = capsys.readouterr().err
    name = next(iter(checkpoint['state_dict']))
    assert 'Traceback' not in message and 'iter_4.pth holds a damaged state' in message
    assert words.format(name=name) in message


@pytest.fixture(scope='module')
def cut(data, tmp_path_factory) -> tuple[Path, dict]:
    """A config and the checkpoint of a training that was cut off after iteration 4."""
    folder = tmp_path_factory.mktemp('cut')
    config = toy_run.toy_config(folder, data)
    assert toy_run.train(config, folder / 'work', 'custom_hooks.0.after_step=4') == 130
    return config, toy_run.last_checkpoint(folder / 'work')


@pytest.mark.parametrize('content', [b'\xff\xfe\x00', b'x' * 5000, b'a\0b', b'../../w', b''])
def test_pointer_with_other_content_is_passed_over(tmp_path, content):
    torch.save({}, tmp_path / 'iter_4.pth')
    (tmp_path / 'last_checkpoint').write_bytes(content)
    assert newest_readable(str(tmp_path)) == str(tmp_path / 'iter_4.pth')


def test_loop_by_epochs_that_is_told_to_end_goes_on_from_its_last_whole_epoch(data, tmp_path):
    loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=3, val_interval=3)
    hook = dict(_delete_=True, type='openseg_plugin.CheckpointHook', interval=1)
    config = toy_run.toy_config(tmp_path, data, train_cfg=loop, default_hooks=dict(checkpoint=hook))
    option = 'train_dataloader.sampler.type=DefaultSampler'  # 2 iterations per epoch
    work = tmp_path / 'w'

    def interrupted_after(step: int, *resume: str) -> set[str]:
        told = (
            f'custom_hooks.0.signal_number={int(signal.SIGTERM)}',
            f'custom_hooks.0.after_step={step}',
        )
        words = ('--work-dir', work, *resume, '--cfg-options', option, *told)
        process = toy_run.start('tools/train.py', config, *words)
        assert 'cannot go on within an epoch' in ''.join(process.communicate(timeout=120))
        assert process.returncode == 143
        return {name for name in names(work) if name.endswith('.pth') and 'best' not in name}

    assert interrupted_after(2) == {'epoch_1.pth', 'interrupted_iter_3.pth'}
    # however often: the newest alone stays, and goes with the next whole epoch
    assert interrupted_after(3, '--resume') == {'epoch_1.pth', 'interrupted_iter_4.pth'}
    assert toy_run.train(config, work, option, '--resume') == 0
    assert toy_run.last_checkpoint(work)['meta']['iter'] == 6
    assert not list(work.glob('interrupted_*'))
    assert {'epoch_2.pth', 'epoch_3.pth'} <= names(work)


def test_resume_goes_on_from_the_middle_of_an_epoch_only_where_there_is_nothing_else(tmp_path):
    for name in ('interrupted_iter_70.pth', 'interrupted_iter_120.pth'):
        torch.save({}, tmp_path / name)
    epochs = dict(template='epoch_{}.pth')
    assert newest_readable(str(tmp_path), **epochs) == str(tmp_path / 'interrupted_iter_120.pth')
    torch.save({}, tmp_path / 'epoch_1.pth')
    assert newest_readable(str(tmp_path), **epochs) == str(tmp_path / 'epoch_1.pth')
