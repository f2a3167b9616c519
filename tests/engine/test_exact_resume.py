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
    """Config and work folder of a run of 8 steps without interruption or worker processes."""
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


def test_resume_of_finished_run_does_nothing(straight):
    config, work_dir = straight
    before = {file: file.stat().st_mtime_ns for file in work_dir.glob('*.pth')}
    assert toy_run.train(config, work_dir, '--resume') == 0
    assert {file: file.stat().st_mtime_ns for file in work_dir.glob('*.pth')} == before
    assert validated_steps(work_dir) == [4, 8]


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
