"""What cannot work with multiple scales is refused when the model is built."""

import pytest
from hierarchical_nets import CLASSES, build, image
from in_one_test import in_one_test

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.segmentors.hierarchical_multi_scale import ordered_scales


@in_one_test(
    ('options', 'message'),
    [
        (dict(scales=(0.5, 2.0)), '1.0 must be among them'),
        (dict(scales=(0.5, 0.5, 1.0)), 'each may occur once'),
        (dict(scales=(-0.5, 1.0)), 'positive'),
        (dict(test_cfg=dict(mode='whole', scales=(2.0,))), '1.0 must be among them'),
        (dict(train_scale=1.0), 'train_scale is 1'),
        (dict(train_scale=0.0), 'train_scale is 0'),
        (
            dict(
                test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32)),
                scales=(0.25, 1.0),
            ),
            'test_cfg.crop_size',
        ),
        (
            dict(data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor', size=(65, 64))),
            'whole number of pixels',
        ),
        (
            dict(data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor', size=(48, 64))),
            'less than the stride',
        ),
        (
            dict(
                data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor', size=(64, 64)),
                scales=(0.25, 1.0),
            ),
            r'data_preprocessor.size is \(64, 64\), which is \(16, 16\) at scale 0.25',
        ),
        (
            dict(
                head=dict(
                    type='mmseg.FCNHead', in_channels=4, channels=8, num_classes=CLASSES, in_index=0
                )
            ),
            'pixel features',
        ),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_when_built(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_image_too_small_for_a_scale_is_refused_with_both_sizes():
    with pytest.raises(ConfigError, match=r'12x40 pixels is 3x10 at scale 0\.25'):
        build(scales=(0.25, 1.0)).inference(image((12, 40)))


def test_ordered_scales_are_floats_from_fine_to_coarse():
    assert ordered_scales([1, 0.5, 2]) == (2.0, 1.0, 0.5)
