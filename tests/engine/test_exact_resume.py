"""A run that was cut off and continued ends in the same bits as one that was not."""

import json
from pathlib import Path

import pytest
import toy_run


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def straight(data, tmp_path_factory) -> tuple[Path, Path]:
    """Config and work folder of a run of 8 iterations without interruption or worker processes."""
    folder = tmp_path_factory.mktemp('straight')
    config = toy_run.toy_config(folder, data)
    assert toy_run.train(config, folder / 'work') == 0
    return config, folder / 'work'


def cut_off(**when: int) -> str:
    ((key, step),) = when.items()
    return f'custom_hooks.0.{key}={step}'


def losses(work_dir: Path) -> dict[int, float]:
    """Step -> loss as logged, later runs over earlier ones."""
    found = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            if 'loss' in record:
                found[record['step']] = record['loss']
    return found


@pytest.mark.parametrize('workers', [0, 2])
def test_resume_after_cut_off_equals_straight_run(straight, tmp_path, workers):
    config, work_dir = straight
    loading = f'train_dataloader.num_workers={workers}'
    # the last checkpoint before step 5 is that of step 4
    assert toy_run.train(config, tmp_path, loading, cut_off(after_step=5)) == 130
    assert toy_run.last_checkpoint(tmp_path)['meta']['iter'] == 4
    assert toy_run.train(config, tmp_path, loading, '--resume') == 0
    toy_run.assert_same_state(toy_run.last_checkpoint(work_dir), toy_run.last_checkpoint(tmp_path))
    assert losses(tmp_path) == losses(work_dir)


def test_dropout_and_augmentation_are_random_in_these_runs(straight, tmp_path):
    # without this the tests of this file would prove little
    config, work_dir = straight
    for name, option in (
        ('dropout', 'model.dropout=0.0'),
        ('seed', '--seed'),
        ('data', 'train_dataloader.sampler.shuffle=False'),
    ):
        extra = [option, '7'] if option == '--seed' else [option]
        assert toy_run.train(config, tmp_path / name, *extra) == 0
        assert losses(tmp_path / name) != losses(work_dir), name


def test_same_run_twice_is_equal(straight, tmp_path):
    config, work_dir = straight
    assert toy_run.train(config, tmp_path) == 0
    toy_run.assert_same_state(toy_run.last_checkpoint(work_dir), toy_run.last_checkpoint(tmp_path))


def test_validating_more_often_changes_nothing(straight, tmp_path):
    config, work_dir = straight
    assert toy_run.train(config, tmp_path, 'train_cfg.val_interval=1') == 0
    assert losses(tmp_path) == losses(work_dir)


def test_validation_cut_off_is_made_up_for(straight, tmp_path):
    config, work_dir = straight
    assert toy_run.train(config, tmp_path, cut_off(in_validation_at=4)) == 130
    assert not list(tmp_path.glob('best_*'))
    assert toy_run.train(config, tmp_path, '--resume') == 0
    assert validated_steps(tmp_path) == validated_steps(work_dir) == [4, 8]
    toy_run.assert_same_state(toy_run.last_checkpoint(work_dir), toy_run.last_checkpoint(tmp_path))


def test_resume_of_finished_run_does_nothing_and_says_so(straight, capsys):
    config, work_dir = straight
    before = {file: file.stat().st_mtime_ns for file in work_dir.glob('*.pth')}
    assert toy_run.train(config, work_dir, '--resume') == 0
    assert {file: file.stat().st_mtime_ns for file in work_dir.glob('*.pth')} == before
    assert validated_steps(work_dir) == [4, 8]
    output = capsys.readouterr()
    assert 'nothing left to train' in output.out + output.err


def rates(work_dir: Path) -> dict[int, float]:
    """Step -> learning rate as logged."""
    found = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            if 'loss' in record:
                found[record['step']] = record['lr']
    return found


@pytest.mark.parametrize('schedule', ['openseg_plugin.PolyLR', 'PolyLR'])
def test_override_lr_scales_the_rest_of_the_schedule(data, tmp_path, schedule):
    policy = [dict(type=schedule, power=0.9, by_epoch=False)]
    config = toy_run.toy_config(tmp_path, data, param_scheduler=policy)
    assert toy_run.train(config, tmp_path / 'a') == 0
    assert toy_run.train(config, tmp_path / 'b', cut_off(after_step=4)) == 130
    assert toy_run.train(config, tmp_path / 'b', '--resume', '--override-lr', '0.001') == 0
    before, after = rates(tmp_path / 'a'), rates(tmp_path / 'b')
    for step, rate in before.items():
        assert after[step] == pytest.approx(rate if step <= 4 else rate / 10, rel=1e-6), step


def test_other_learning_rate_of_the_config_is_said_and_not_used(straight, tmp_path, capsys):
    config, work_dir = straight
    assert toy_run.train(config, tmp_path, cut_off(after_step=4)) == 130
    capsys.readouterr()
    other = ('optim_wrapper.optimizer.lr=0.5', 'optim_wrapper.optimizer.weight_decay=0.1')
    assert toy_run.train(config, tmp_path, *other, '--resume') == 0
    output = capsys.readouterr()
    said = output.out + output.err
    assert 'lr is 0.01 there and 0.5 in the config' in said
    assert 'weight_decay is 0.0005 there and 0.1 in the config' in said
    assert '--override-lr' in said
    toy_run.assert_same_state(toy_run.last_checkpoint(work_dir), toy_run.last_checkpoint(tmp_path))


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (['optim_wrapper.optimizer.type=Adam'], 'was trained with SGD and the config has Adam'),
        (['optim_wrapper.constructor=DefaultOptimWrapperConstructor'], 'parameter groups of'),
    ],
)
def test_other_optimizer_is_refused_in_one_sentence(data, tmp_path, capsys, changes, expected):
    plain = dict(
        _delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01), constructor=None
    )
    plain.pop('constructor')
    plain['constructor'] = 'openseg_plugin.BackboneHeadConstructor'
    config = toy_run.toy_config(tmp_path, data, optim_wrapper=plain)
    assert toy_run.train(config, tmp_path / 'work', cut_off(after_step=4)) == 130
    assert toy_run.train(config, tmp_path / 'work', *changes, '--resume') == 2
    assert expected in capsys.readouterr().err


WARM = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
    dict(type='openseg_plugin.PolyLR', by_epoch=False, begin=3),
]


@pytest.mark.parametrize(
    ('schedules', 'expected'),
    [
        (WARM, 'was trained with PolyLR and the config has LinearLR, PolyLR'),
        ([dict(type='MultiStepLR', milestones=[3], by_epoch=False)], 'the config has MultiStepLR'),
        ([], 'was trained with PolyLR and the config has no schedule'),
    ],
)
def test_other_schedule_is_refused_in_one_sentence(straight, tmp_path, capsys, schedules, expected):
    config, _ = straight
    assert toy_run.train(config, tmp_path / 'work', cut_off(after_step=4)) == 130
    other = config.with_name('schedules.py')
    other.write_text(f'{config.read_text()}\nparam_scheduler = {schedules!r}\n')
    assert toy_run.train(other, tmp_path / 'work', '--resume') == 2
    assert expected in capsys.readouterr().err


def test_setting_of_a_schedule_that_gives_way_to_the_checkpoint_is_said(data, tmp_path, capsys):
    """Ours take the curve of the config, mmengine's that of the checkpoint."""
    policy = [dict(type='MultiStepLR', milestones=[3, 6], gamma=0.1, by_epoch=False)]
    config = toy_run.toy_config(tmp_path, data, param_scheduler=[*WARM, *policy])
    assert toy_run.train(config, tmp_path / 'work', cut_off(after_step=4)) == 130
    capsys.readouterr()
    changes = ('param_scheduler.2.gamma=0.5', 'param_scheduler.1.power=2.0')
    assert toy_run.train(config, tmp_path / 'work', '--resume', *changes) == 0
    output = capsys.readouterr()
    said = output.out + output.err
    assert 'param_scheduler.2.gamma is 0.1 there and 0.5 in the config' in said
    assert 'param_scheduler.1' not in said and 'param_scheduler.0' not in said


def test_early_stopping_counts_every_validation_of_a_resumed_run_once(data, tmp_path):
    """Also the one whose checkpoint is saved a second time, with the news of a best one."""
    config = toy_run.toy_config(tmp_path, data, train_cfg=dict(max_iters=30, val_interval=2))
    options = ('--early-stop', '2', 'optim_wrapper.optimizer.lr=0.0')
    assert toy_run.train(config, tmp_path / 'straight', *options) == 0
    expected = toy_run.last_checkpoint(tmp_path / 'straight')
    assert expected['meta']['iter'] < 30
    for step in (3, 5):
        work = tmp_path / f'cut{step}'
        assert toy_run.train(config, work, *options, cut_off(after_step=step)) == 130
        assert toy_run.train(config, work, *options, '--resume') == 0
        toy_run.assert_same_state(expected, toy_run.last_checkpoint(work))


@pytest.mark.parametrize(
    ('options', 'expected'),
    [(['--override-lr', '0.1'], '--resume'), (['--resume', '--override-lr', '-1'], 'above 0')],
)
def test_override_lr_that_cannot_work_is_refused(straight, tmp_path, capsys, options, expected):
    config, _ = straight
    status = toy_run.train(config, tmp_path, *options)
    assert status == 2
    assert expected in capsys.readouterr().err


def test_epochs_are_iterations_of_the_datasets_length(data, tmp_path):
    # 10 images in batches of 4: an epoch has 2 iterations
    loop = dict(_delete_=True, type='openseg_plugin.IterBasedTrainLoop', max_epochs=3)
    config = toy_run.toy_config(tmp_path, data, train_cfg={**loop, 'val_interval': 2})
    batch = 'train_dataloader.batch_size=4'
    assert toy_run.train(config, tmp_path / 'work', batch) == 0
    assert toy_run.last_checkpoint(tmp_path / 'work')['meta']['iter'] == 6
    assert validated_steps(tmp_path / 'work') == [4, 6]
    assert toy_run.train(config, tmp_path / 'short', batch, 'train_cfg.max_iters=3') == 0
    assert toy_run.last_checkpoint(tmp_path / 'short')['meta']['iter'] == 3


@pytest.mark.parametrize('sampler', ['openseg_plugin', 'mmengine'])
def test_loop_by_epochs_on_an_endless_sampler_is_refused(data, tmp_path, capsys, sampler):
    loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=1)
    config = toy_run.toy_config(tmp_path, data, train_cfg=loop)
    option = f'train_dataloader.sampler.type={sampler}.InfiniteSampler'
    assert toy_run.train(config, tmp_path / 'work', option) == 2
    message = capsys.readouterr().err
    assert 'EpochBasedTrainLoop' in message and 'max_epochs=2' in message


def test_resume_keeps_the_seed_of_the_run(data, tmp_path):
    config = toy_run.toy_config(tmp_path, data, randomness=dict(seed=None))
    assert toy_run.train(config, tmp_path / 'work', cut_off(after_step=4)) == 130
    seed = toy_run.last_checkpoint(tmp_path / 'work')['meta']['seed']
    assert toy_run.train(config, tmp_path / 'work', '--resume') == 0
    assert toy_run.train(config, tmp_path / 'straight', '--seed', str(seed)) == 0
    toy_run.assert_same_state(
        toy_run.last_checkpoint(tmp_path / 'work'), toy_run.last_checkpoint(tmp_path / 'straight')
    )


def test_resume_from_named_checkpoint_goes_on_from_there(straight, tmp_path, capsys):
    config, work_dir = straight
    status = toy_run.train(config, tmp_path, '--resume', str(work_dir / 'iter_6.pth'))
    assert status == 0
    toy_run.assert_same_state(toy_run.last_checkpoint(work_dir), toy_run.last_checkpoint(tmp_path))


def validated_steps(work_dir: Path) -> list[int]:
    steps = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        records = [json.loads(line) for line in file.read_text().splitlines()]
        steps += [record['step'] for record in records if 'mIoU' in record]
    return steps
