"""``--show-attention``: sheets of a real test run of a tiny multi-scale network."""

import cv2
import numpy as np
import pytest
import small_models  # noqa: F401  registers the backbone
import torch
from mmengine.runner import Runner

from openseg_plugin.cli import test as engine_test
from openseg_plugin.config.loading import load_config
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS

CONFIG = """
default_scope = 'mmseg'
custom_imports = dict(imports=['openseg_plugin', 'small_models'])
norm_cfg = dict(type='BN')
model = dict(
    type='openseg_plugin.{segmentor}',
    data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor', bgr_to_rgb=True),
    backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4,), strides=(4,)),
    decode_head=dict(
        type='openseg_plugin.OCRHead', in_channels=(4,), channels=8, key_channels=4,
        region=dict(channels=6), align_corners=False, num_classes=11, norm_cfg=norm_cfg,
    ),
    {extra}
)
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='openseg_plugin.CamVidDataset', data_root={root!r}, test_mode=True,
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[
            dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels'),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = dict(type='openseg_plugin.IoUMetric')
"""
ATTENTION = """scale_attention=dict(
        type='openseg_plugin.ScaleAttentionHead', in_channels=8, channels=4, norm_cfg=norm_cfg
    )"""


@pytest.fixture
def files(tmp_path):
    """Two images with labels; writes a config and weights of a segmentor."""
    random = np.random.default_rng(0)
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    for name in ('one', 'two'):
        cv2.imwrite(str(tmp_path / f'images/{name}.png'), random.integers(0, 256, (40, 64, 3)))
        cv2.imwrite(str(tmp_path / f'labels/{name}.png'), random.integers(0, 11, (40, 64)))

    def write(segmentor='HierarchicalMultiScaleSegmentor', extra=ATTENTION):
        path = tmp_path / 'config.py'
        path.write_text(CONFIG.format(segmentor=segmentor, extra=extra, root=str(tmp_path)))
        cfg = load_config(str(path))
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'model.pth')
        work_dir = ['--work-dir', str(tmp_path / 'work')]
        return [str(path), str(tmp_path / 'model.pth'), *work_dir]

    return write


def test_sheets_of_all_images_are_written(files, tmp_path):
    assert engine_test.main([*files(), '--show-attention', str(tmp_path / 'sheets')]) == 0
    sheets = sorted((tmp_path / 'sheets').iterdir())
    assert [path.name for path in sheets] == ['one.jpg', 'two.jpg']
    assert cv2.imread(str(sheets[0])).shape[1] == 966


def test_network_of_one_scale_is_refused(files, tmp_path):
    arguments = files('EncoderDecoder', '')
    with pytest.raises(ConfigError, match='multi-scale network'):
        engine_test.main([*arguments, '--show-attention', str(tmp_path / 'sheets')])


def test_together_with_aug_test_it_is_refused(files, tmp_path):
    with pytest.raises(ConfigError, match='leave --aug-test out'):
        engine_test.main([*files(), '--aug-test', '--show-attention', str(tmp_path)])


def test_mirrored_views_around_the_scales_are_predicted(files):
    assert engine_test.main([*files(), '--aug-test', '--scales', '1']) == 0


def test_stock_runner_tests_the_network(files):
    path, checkpoint, *_ = files()
    cfg = load_config(path)
    cfg.update(work_dir=str(checkpoint) + '.d', load_from=checkpoint)
    assert 'mIoU' in Runner.from_cfg(cfg).test()
