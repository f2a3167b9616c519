"""ResNet-vd: sizes, dilations, and the file of PaddleClas as it is."""

import pytest
import torch

from openseg_plugin.converters.checkpoints import paddle_networks
from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones import ResNetVd
from openseg_plugin.registry import MODELS


def test_is_registered():
    assert MODELS.get('openseg_plugin.ResNetVd') is ResNetVd


@torch.no_grad()
@pytest.mark.parametrize(
    ('output_stride', 'sides'), [(8, (9, 5, 5, 5)), (16, (9, 5, 3, 3)), (32, (9, 5, 3, 2))]
)
def test_maps_have_the_strides_asked_for(output_stride, sides):
    model = ResNetVd(50, output_stride=output_stride).eval()
    maps = model(torch.randn(1, 3, 33, 33))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (width, side, side) for width, side in zip((256, 512, 1024, 2048), sides)
    ]


def test_dilated_stages_dilate_their_first_block_too():
    with torch.device('meta'):
        model = ResNetVd(50, output_stride=8)
    assert {block.conv2.dilation for block in model.layer3} == {(2, 2)}
    assert {block.conv2.dilation for block in model.layer4} == {(4, 4)}


def test_multi_grid_multiplies_the_dilation_of_the_last_stage_alone():
    with torch.device('meta'):
        model = ResNetVd(50, output_stride=8, multi_grid=(1, 2, 4))
    assert {block.conv2.dilation for block in model.layer3} == {(2, 2)}
    assert [block.conv2.dilation[0] for block in model.layer4] == [4, 8, 16]
    with pytest.raises(ConfigError, match='ResNetVd got multi_grid='):
        ResNetVd(50, output_stride=32, multi_grid=(1, 2, 4))


@pytest.mark.parametrize('depth', [50, 101])
def test_every_entry_is_in_the_table_of_paddle(depth):
    with torch.device('meta'):
        names = {name.rpartition('.')[0] for name in ResNetVd(depth).state_dict()}
    units = list(paddle_networks.resnet_vd('', '', depth=depth))
    assert names == {name for unit in units for name in (unit.target, unit.target_norm)}


@pytest.mark.parametrize('options', [{'depth': 18}, {'output_stride': 4}])
def test_unknown_size_says_what_there_is(options):
    with pytest.raises(ConfigError, match='depth 50 and 101'):
        ResNetVd(**options)
