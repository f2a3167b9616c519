"""Our packing hands the place of a crop to the preprocessor; channels of any kind pass."""

import cv2
import numpy as np
import pytest
from in_one_test import in_one_test

from openseg_plugin.datasets.transforms import (
    ColorJitter,
    PackSegInputs,
    RandomBlur,
    RandomBrightness,
    RandomCrop,
    RandomResize,
    RandomShortSide,
)
from openseg_plugin.errors import ConfigError


def sample(channels: int, kind: type) -> dict:
    image = np.random.default_rng(0).integers(0, 200, (20, 30, channels)).astype(kind)
    label = np.zeros((20, 30), np.uint8)
    return dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map'], img_path='a.tif')


@pytest.mark.parametrize('meta_keys', [(), ('img_path', 'pad_offset')])
def test_place_of_a_crop_is_packed_whatever_the_keys_are(meta_keys):
    results = RandomCrop(crop_size=(32, 48))(sample(3, np.uint8))
    packed = PackSegInputs(meta_keys=meta_keys)(results)
    assert packed['data_samples'].metainfo['pad_offset'] == results['pad_offset']


@in_one_test('kind', [np.uint8, np.uint16, np.float32])
@in_one_test('channels', [1, 3, 4, 5, 13])
def test_images_of_any_channels_keep_type_and_axes(channels, kind):
    steps = (
        *(RandomResize(), RandomShortSide(base_size=24), RandomBlur(prob=1.0)),
        *(RandomBrightness(shift=10), RandomCrop(crop_size=(16, 16))),
    )
    for step in steps:
        results = step(sample(channels, kind))
        assert results['img'].dtype == kind
        assert results['img'].ndim == 3 and results['img'].shape[2] == channels
        assert results['gt_seg_map'].shape == results['img'].shape[:2]


def test_brightness_of_16_bits_moves_by_as_much_of_the_range(monkeypatch):
    monkeypatch.setattr(np.random, 'randint', lambda low, high: low)
    image = RandomBrightness()(sample(4, np.uint16))['img']
    assert image.max() == 0
    bright = dict(img=np.full((2, 2, 4), 65535, np.uint16))
    assert (RandomBrightness()(bright)['img'] == 65535 - 2570).all()
    bright = dict(img=np.full((2, 2, 3), 250, np.uint8))
    assert (RandomBrightness()(bright)['img'] == cv2.add(np.uint8([[[250]]]), -10)[0]).all()


def test_color_jitter_says_which_images_it_is_for():
    with pytest.raises(ConfigError, match=r'ColorJitter .*8-bit .*3 channels'):
        ColorJitter()(sample(4, np.uint16))
