"""What is wrong with the data or the number of classes is found before the first iteration."""

from pathlib import Path

import numpy as np
import pytest
import toy_run
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import init_default_scope
from PIL import Image
from torch import nn

from openseg_plugin.data_checks import training_check
from openseg_plugin.data_checks.training_check import (
    LabelCheckHook,
    LabelSample,
    check_heads,
    load_sample,
)
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATASETS


@pytest.fixture
def data(tmp_path) -> Path:
    return toy_run.write_data(tmp_path / 'data', number=4)


@pytest.fixture
def dataset(data):
    init_default_scope('mmseg')
    loader = toy_run.loader(data, 'train', toy_run.LOADING, batch_size=1, shuffle=True)
    return DATASETS.build(loader['dataset'])


def test_sample_in_order_is_loaded_without_augmentation(dataset):
    results = load_sample(dataset, 1)
    assert results['img'].shape == (12, 16, 3)
    assert results['gt_seg_map'].shape == (12, 16)


def test_label_of_another_size_names_both_files(dataset, data):
    label = data / 'train' / 'label' / '02.png'
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(label)
    with pytest.raises(DataError, match=r'02\.png .*7x5.*02\.png .*16x12'):
        load_sample(dataset, 2)


def test_label_value_outside_classes_names_file_value_and_count(dataset, data):
    label = data / 'train' / 'label' / '03.png'
    values = np.zeros((12, 16), np.uint8)
    values[0, :5] = 7
    Image.fromarray(values).save(label)
    with pytest.raises(DataError, match=rf'{label} .* 7 \(5 pixels\)'):
        load_sample(dataset, 3)


def test_broken_label_is_named(dataset, data):
    label = data / 'train' / 'label' / '00.png'
    label.write_bytes(label.read_bytes()[:40])
    with pytest.raises(DataError, match=str(label)):
        load_sample(dataset, 0)


def test_unexpected_error_of_a_decoder_names_both_files(dataset, data, monkeypatch):
    def fail(results: dict) -> dict:
        raise RuntimeError('decoder gave up')

    monkeypatch.setattr(type(dataset.pipeline.transforms[1]), 'transform', lambda self, r: fail(r))
    with pytest.raises(DataError, match=r'image/00\.png .*label/00\.png'):
        load_sample(dataset, 0)


@pytest.mark.parametrize(
    'wrap', [lambda one: ConcatDataset([one, one]), lambda one: RepeatDataset(one, times=2)]
)
def test_wrapped_datasets_are_looked_into(dataset, data, wrap):
    label = data / 'train' / 'label' / '01.png'
    label.unlink()
    wrapped = wrap(dataset)
    assert load_sample(wrapped, 4)['img_path'].endswith('00.png')
    for index in (1, 5):
        with pytest.raises(DataError, match=str(label)):
            load_sample(wrapped, index)


class Model(nn.Module):
    """A segmentor as far as check_heads looks at it."""

    def __init__(self, *classes: int) -> None:
        super().__init__()
        heads = [nn.Identity() for _ in classes]
        for head, number in zip(heads, classes):
            head.num_classes = number
        self.decode_head = heads[0] if len(heads) == 1 else nn.ModuleList(heads)


@pytest.mark.parametrize('classes', [(3,), (3, 3)])
def test_heads_with_the_classes_of_the_dataset_pass(dataset, classes):
    check_heads(Model(*classes), dataset)


@pytest.mark.parametrize('classes', [(19,), (3, 19)])
def test_head_with_other_classes_names_the_setting(dataset, classes):
    with pytest.raises(ConfigError, match=r'set model\.decode_head\.num_classes=3'):
        check_heads(Model(*classes), dataset)


def test_bad_label_stops_the_run_before_the_first_step(data, tmp_path, capsys):
    label = data / 'val' / 'label' / '00.png'
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(label)
    config = toy_run.toy_config(tmp_path, data)
    assert toy_run.train(config, tmp_path / 'work') == 2
    output = capsys.readouterr()
    assert f'error: label file {label} is 3x3 pixels' in output.err
    assert 'Iter(train)' not in output.out + output.err
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_masks_that_load_but_mean_nothing_stop_the_run_with_the_command(data, tmp_path, capsys):
    for label in data.glob('*/label/*.png'):
        values = np.asarray(Image.open(label))
        Image.fromarray(np.where(values == 1, 255, 0).astype(np.uint8)).save(label)
    config = toy_run.toy_config(tmp_path, data)
    assert toy_run.train(config, tmp_path / 'work') == 2
    errors = capsys.readouterr().err
    assert 'error: 0/255 masks: 8 labels hold only the values 0 and 255' in errors
    assert f'openseg check-dataset {config}' in errors


def test_healthy_run_says_what_was_looked_at(data, tmp_path, capsys):
    config = toy_run.toy_config(tmp_path, data, train_cfg=dict(max_iters=1, val_interval=1))
    assert toy_run.train(config, tmp_path / 'work') == 0
    output = capsys.readouterr()
    assert 'label check: 8 samples of 8 looked at' in output.out + output.err


def test_sample_ends_when_its_time_is_over(dataset):
    hook = LabelCheckHook(samples=4, seconds=0)
    assert hook._load_some(dataset, 0, LabelSample()) == [0]
    assert hook._load_some(dataset, float('inf'), LabelSample()) == [0, 1, 2, 3]


def test_sample_that_would_end_too_late_is_not_begun(dataset, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(training_check.time, 'monotonic', lambda: float(next(clock)))
    hook = LabelCheckHook(samples=4)
    # begins at 0, ends at 1; the next begins at 2 and would end at 3
    assert hook._load_some(dataset, 2.5, LabelSample()) == [0]


def rare_object(data: Path, *, labels_with_object: tuple[str, ...]) -> None:
    """Labels of background and an ignored border; the object is in some of them."""
    for path in data.glob('*/label/*.png'):
        values = np.zeros((12, 16), np.uint8)
        values[:2] = 255
        if f'{path.parents[1].name}/{path.stem}' in labels_with_object:
            values[6:8] = 1
        Image.fromarray(values).save(path)


@pytest.mark.parametrize('where', ['train/03', 'val/02'])
def test_rare_object_that_the_sample_does_not_show_is_no_mistake(data, tmp_path, capsys, where):
    rare_object(data, labels_with_object=(where,))
    hooks = [dict(type='openseg_plugin.LabelCheckHook', samples=1)]
    changes = dict(max_iters=1, val_interval=1)
    config = toy_run.toy_config(tmp_path, data, train_cfg=changes, custom_hooks=hooks)
    assert toy_run.train(config, tmp_path / 'work') == 0
    output = capsys.readouterr()
    assert 'samples of 8 looked at' in output.out + output.err
    assert '0/255 masks' not in output.out + output.err


def test_masks_that_could_not_all_be_read_are_a_warning(data, tmp_path, capsys, monkeypatch):
    rare_object(data, labels_with_object=())
    monkeypatch.setattr(training_check, '_LONGER', -1.0)
    changes = dict(max_iters=1, val_interval=1)
    config = toy_run.toy_config(tmp_path, data, train_cfg=changes)
    assert toy_run.train(config, tmp_path / 'work') == 0
    output = capsys.readouterr()
    assert 'the training goes on, but look: 0/255 masks' in output.out + output.err


def test_absent_values_under_reduce_zero_label_are_a_warning(data, tmp_path, capsys):
    for path in data.glob('*/label/*.png'):
        values = np.asarray(Image.open(path))
        Image.fromarray(np.where(values == 0, 255, values - 1).astype(np.uint8)).save(path)
    lines = [
        f"{split}_dataloader['dataset']['reduce_zero_label'] = True" for split in ('train', 'val')
    ]
    changes = dict(max_iters=1, val_interval=1)
    config = toy_run.toy_config(tmp_path, data, text='\n'.join(lines), train_cfg=changes)
    assert toy_run.train(config, tmp_path / 'work') == 0
    output = capsys.readouterr()
    assert 'the training goes on, but look: reduce_zero_label is on' in output.out + output.err
