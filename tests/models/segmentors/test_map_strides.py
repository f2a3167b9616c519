"""Heads that name maps by stride: the backbone's numbers, and one sentence where there are none."""

import pytest
import torch
from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones import HRNet, ResNet
from openseg_plugin.models.segmentors.map_strides import (
    FeatureMap,
    feature_maps,
    names_strides,
    resolve_strides,
)
from openseg_plugin.registry import MODELS

MAPS = [FeatureMap(16, 4), FeatureMap(24, 8), FeatureMap(40, 16), FeatureMap(80, 16)]
SMALL = dict(width=4, num_modules=(1, 1, 1), num_blocks=1)


@pytest.mark.parametrize(
    ('strides', 'index', 'channels'),
    [
        (8, 1, 24),
        ((4, 8), [0, 1], [16, 24]),
        ([16], [3], [80]),
        ((16, 4), [3, 0], [80, 16]),
        ((4, 16, 16), [0, 2, 3], [16, 40, 80]),
        ((16, 8, 16), [2, 1, 3], [40, 24, 80]),
    ],
)
def test_strides_become_indices_and_widths_of_the_deepest_map(strides, index, channels):
    found = resolve_strides(dict(type='X', in_strides=strides), MAPS, key='model.decode_head')
    assert found == dict(type='X', in_index=index, in_channels=channels)


def test_region_and_skip_name_strides_too():
    head = dict(in_strides=16, region=dict(channels=8, in_strides=8), skip_stride=4, classes=3)
    assert names_strides(head) and names_strides(dict(region=dict(in_strides=4)))
    assert resolve_strides(head, MAPS, key='model.decode_head') == dict(
        in_index=3,
        in_channels=80,
        region=dict(channels=8, in_index=1, in_channels=24),
        skip_index=0,
        skip_in_channels=16,
        classes=3,
    )


def test_a_stride_that_is_not_there_is_said_with_those_that_are():
    with pytest.raises(
        ConfigError,
        match=r'decode_head\.in_strides .*32.*4, 8, 16, 16',
    ):
        resolve_strides(dict(in_strides=(4, 32)), MAPS, key='model.decode_head')
    with pytest.raises(ConfigError, match=r'in_strides asks for 3 maps of stride 16'):
        resolve_strides(dict(in_strides=(16, 16, 16)), MAPS, key='model.decode_head')
    with pytest.raises(ConfigError, match=r'decode_head\.region\.in_strides .*2'):
        resolve_strides(dict(region=dict(in_strides=2)), MAPS, key='model.decode_head')


def test_strides_beside_indices_are_refused():
    with pytest.raises(ConfigError, match=r'in_strides .*in_index .*in_channels'):
        resolve_strides(dict(in_strides=4, in_index=0, in_channels=16), MAPS, key='head')


@pytest.mark.parametrize(
    ('backbone', 'maps'),
    [
        (HRNet(**SMALL), [(4, 4), (8, 8), (16, 16), (32, 32)]),
        # the pool that rounds up makes 17 cells of 64 pixels
        (ResNet(50), [(256, 4), (512, 8), (1024, 8), (2048, 8)]),
        (ResNet(50, output_stride=32), [(256, 4), (512, 8), (1024, 16), (2048, 32)]),
    ],
)
def test_maps_of_any_backbone_are_found_and_it_stays_as_it_was(backbone, maps):
    backbone.train()
    backbone.norm_eval = False
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    modes = [module.training for module in backbone.modules()]
    assert [(m.channels, m.stride) for m in feature_maps(backbone, None)] == maps
    assert modes == [module.training for module in backbone.modules()]
    after = backbone.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_behind_a_neck_its_maps_count():
    class Neck(nn.Module):
        def forward(self, maps):
            return [nn.functional.avg_pool2d(maps[0], 2), maps[-1][:, :3]]

    found = feature_maps(HRNet(**SMALL), Neck())
    assert found == [FeatureMap(4, 8), FeatureMap(3, 32)]


@pytest.mark.parametrize('auxiliary', [dict(in_strides=8), [dict(in_strides=8)]])
def test_segmentor_gives_every_head_its_maps(auxiliary):
    fcn = dict(type='openseg_plugin.FCNHead', channels=4, num_classes=3)
    if isinstance(auxiliary, list):
        auxiliary = [dict(fcn, **auxiliary[0])]
    else:
        auxiliary = dict(fcn, **auxiliary)
    model = MODELS.build(
        dict(
            type='openseg_plugin.EncoderDecoder',
            backbone=dict(type='openseg_plugin.HRNet', **SMALL),
            decode_head=dict(fcn, in_strides=(4, 16)),
            auxiliary_head=auxiliary,
            data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor'),
        )
    )
    assert model.decode_head.in_index == [0, 2]
    head = model.auxiliary_head
    head = head[0] if isinstance(head, nn.ModuleList) else head
    assert (head.in_index, head.in_channels) == (1, 8)
    with pytest.raises(ConfigError, match=r'model\.auxiliary_head.*stride 64'):
        MODELS.build(
            dict(
                type='openseg_plugin.EncoderDecoder',
                backbone=dict(type='openseg_plugin.HRNet', **SMALL),
                decode_head=dict(fcn, in_strides=4),
                auxiliary_head=dict(fcn, in_strides=64),
                data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor'),
            )
        )
