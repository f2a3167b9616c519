"""``--data``: one config, tested on another dataset."""

import os

import cv2
import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

from openseg_plugin.cli.test import main
from openseg_plugin.config.loading import load_config, set_data
from openseg_plugin.errors import ConfigError

SMALL = 'fcn/hrnet18s_mmseg_cityscapes_160k.py'
NAMED = [
    ('isa/r50_mmseg_cityscapes_80k.py', 'ade20k_512', 150),
    ('bisenet/r18_mmseg_cityscapes_160k.py', 'coco_stuff164k_512', 171),
    ('ocr/hrnet48_iabn_cityscapes_80k.py', 'lip', 20),
    ('hmsa/hrnet48_cityscapes_175e.py', 'mapillary', 65),
]


def _numbers(part) -> list[int]:
    if isinstance(part, dict):
        here = [part['num_classes']] if 'num_classes' in part else []
        return here + [n for value in part.values() for n in _numbers(value)]
    return [n for value in part for n in _numbers(value)] if isinstance(part, list) else []


@pytest.mark.parametrize('config, data, classes', NAMED)
def test_data_gives_its_classes_to_every_head(config, data, classes):
    cfg = load_config(config, data=data)
    assert set(_numbers(cfg.model)) == {classes}
    assert cfg.num_classes == classes


def test_data_takes_class_weights_and_padding_along():
    cfg = load_config('ocr/hrnet48_cityscapes_80k.py', data='ade20k')
    assert cfg.model.decode_head.loss_decode.class_weight is None
    assert cfg.model.data_preprocessor.test_cfg == dict(size_divisor=8)
    back = load_config('ocr/hrnet48_ohem_ade20k_150k.py', data='cityscapes')
    assert 'test_cfg' not in back.model.data_preprocessor
    assert back.test_dataloader.dataset.type == 'openseg_plugin.CityscapesDataset'


def test_options_come_after_data():
    options = {'model.decode_head.num_classes': 7}
    cfg = load_config(SMALL, data='voc_512', options=options)
    assert cfg.model.decode_head.num_classes == 7


def test_data_of_an_unknown_name_is_an_error_that_names_near_ones():
    with pytest.raises(ConfigError, match=r'--data ade20: there is no such dataset .*ade20k'):
        load_config(SMALL, data='ade20')


@pytest.mark.parametrize(
    'data, size, expected',
    [('ade20k_512', (60, 90), (512, 768)), ('voc_512', (50, 400), (256, 2048))],
)
def test_mmseg_sizes_hold_the_short_side_at_512_and_the_long_one_below_2048(
    data, size, expected, tmp_path, monkeypatch
):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    cfg = load_config(SMALL, data=data)
    root = cfg.test_dataloader.dataset.data_root
    _write_images(root, size)
    init_default_scope('mmseg')
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert sample['inputs'].shape[1:] == expected
    assert sample['data_samples'].gt_sem_seg.shape == size


def test_test_command_evaluates_on_the_other_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'data'))
    monkeypatch.chdir(tmp_path)
    cfg = load_config(SMALL, data='voc_paddleseg')
    _write_images(cfg.test_dataloader.dataset.data_root, (40, 56))
    init_default_scope('mmseg')
    torch.manual_seed(0)
    weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'voc.pth')
    options = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']
    options += ['model.data_preprocessor.test_cfg.size=(64,64)']
    main([SMALL, 'voc.pth', '--data', 'voc_paddleseg', '--out', 'maps', '--cfg-options', *options])
    assert 'mIoU' in capsys.readouterr().out
    assert cv2.imread('maps/a.png', cv2.IMREAD_UNCHANGED).shape[:2] == (40, 56)


def _write_images(root: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for kind, suffix, shape in (('image', '.jpg', (*size, 3)), ('label', '.png', size)):
        folder = f'{root}/val/{kind}'
        os.makedirs(folder, exist_ok=True)
        cv2.imwrite(f'{folder}/a{suffix}', rng.integers(0, 20, shape).astype(np.uint8))


@in_one_test(
    'config, data, expected',
    [
        ('ocr/hrnet48_bgr_cityscapes_80k.py', 'pascal_context', dict(size_divisor=8)),
        ('ocr/hrnet48_pascal_context_60k.py', 'cityscapes', {}),
        ('ocr_b/hrnet48_bgr_cityscapes_80k.py', 'mapillary', dict(flip=False)),
        ('ocr_b/hrnet48_mapillary_500k.py', 'voc', {}),
        (
            'pspnet/r101_pytorchcv_jpu_voc_50e.py',
            'cityscapes_pytorchcv',
            dict(base_size=1024, crop_size=768),
        ),
    ],
)
def test_data_brings_its_rules_for_several_scales(config, data, expected):
    wrapper = dict(load_config(config, data=data).tta_model)
    rules = ('flip', 'size_divisor', 'base_size', 'crop_size')
    assert {key: value for key, value in wrapper.items() if key in rules} == expected


def test_data_replaces_the_class_weights_of_every_loss_in_a_list():
    losses = [dict(type='openseg_plugin.CrossEntropyLoss', class_weight=[1.0] * 19)] * 2
    cfg = load_config(SMALL)
    cfg.model.decode_head.loss_decode = losses
    set_data(cfg, 'voc')
    assert [loss.class_weight for loss in cfg.model.decode_head.loss_decode] == [None, None]
