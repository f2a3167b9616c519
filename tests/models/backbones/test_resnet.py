"""openseg's ResNet: what differs from mmseg's ResNetV1c, checked without running the deep net."""

import pytest
import torch
from in_one_test import in_one_test
from mmseg.registry import MODELS as MMSEG_MODELS
from random_norms import shuffle_norms

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones import ResNet


def dilations(net, stage):
    return [block.conv2.dilation[0] for block in getattr(net, f'layer{stage}')]


@in_one_test(
    'output_stride, multi_grid, third, fourth',
    [
        (8, (1, 1, 1), [1] + [2] * 5, [2, 4, 4]),
        (16, (1, 1, 1), [1] * 6, [1, 2, 2]),
        (16, (1, 2, 4), [1] * 6, [1, 4, 8]),
        (8, (1, 2, 4), [1] + [2] * 5, [2, 8, 16]),
        (32, (1, 1, 1), [1] * 6, [1, 1, 1]),
    ],
)
def test_dilations_follow_output_stride_and_multi_grid(output_stride, multi_grid, third, fourth):
    with torch.device('meta'):
        net = ResNet(50, output_stride=output_stride, multi_grid=multi_grid)
    assert (dilations(net, 3), dilations(net, 4)) == (third, fourth)


@pytest.mark.parametrize('depth, blocks', [(50, 6), (101, 23), (152, 36)])
def test_depth_sets_the_number_of_blocks(depth, blocks):
    with torch.device('meta'):
        assert len(ResNet(depth).layer3) == blocks


@pytest.mark.parametrize('output_stride, last', [(8, (65, 129)), (16, (33, 65)), (32, (17, 33))])
def test_forward_even_stem_size_is_rounded_up_in_the_pool(output_stride, last):
    with torch.device('meta'):
        maps = ResNet(50, output_stride=output_stride)(torch.empty(1, 3, 512, 1024))
    assert maps[0].shape == (1, 256, 129, 257)
    assert maps[3].shape == (1, 2048, *last)


@pytest.mark.parametrize('size', [(33, 47), (32, 64)])
@torch.no_grad()
def test_forward_equals_mmseg_with_the_same_options_and_a_ceil_mode_pool(size):
    ours = shuffle_norms(ResNet(50)).eval()
    theirs = MMSEG_MODELS.build(
        dict(
            type='mmseg.ResNetV1c',
            depth=50,
            stem_channels=128,
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            contract_dilation=True,
        )
    )
    theirs.maxpool.ceil_mode = True
    theirs.load_state_dict(ours.state_dict())
    theirs.eval()
    inputs = torch.randn(1, 3, *size)
    for got, expected in zip(ours(inputs), theirs(inputs)):
        torch.testing.assert_close(got, expected)


def test_stem_is_64_64_128_wide():
    with torch.device('meta'):
        net = ResNet(50)
    assert [net.stem[i].out_channels for i in (0, 3, 6)] == [64, 64, 128]
    assert net.layer1[0].conv1.in_channels == 128


@pytest.mark.parametrize('norm_eval', [True, False])
def test_norm_eval_decides_whether_training_moves_the_statistics(norm_eval):
    net = ResNet(50, output_stride=32, norm_eval=norm_eval)
    net.train()
    before = net.stem[1].running_mean.clone()
    net(torch.randn(2, 3, 64, 64))
    assert torch.equal(net.stem[1].running_mean, before) is norm_eval


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(depth=18), 'depth=18'),
        (dict(output_stride=4), 'output_stride=4'),
        (dict(multi_grid=(1, 2)), r'multi_grid=\(1, 2\)'),
        (dict(output_stride=32, multi_grid=(1, 2, 4)), r'multi_grid=\(1, 2, 4\)'),
    ],
)
def test_options_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ConfigError, match=message), torch.device('meta'):
        ResNet(**options)
