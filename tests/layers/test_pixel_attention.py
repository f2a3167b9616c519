"""Attention between pixels, against the same with its weights written out."""

import math

import pytest
import torch
from in_one_test import in_one_test
from random_norms import shuffle_norms

from openseg_plugin.layers.pixel_attention import PixelAttention, attend

BN = dict(type='BN')
RELU = dict(type='ReLU')


def written_out(query, key, value):
    weights = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(dim=-1)
    return weights @ value


def module(**options):
    options = {'value_channels': 6, 'norm_cfg': BN, 'act_cfg': RELU, **options}
    built = shuffle_norms(PixelAttention(8, 4, **options))
    torch.nn.init.normal_(getattr(built.output_project, 'conv', built.output_project).weight)
    return built.eval()


@in_one_test('value_width', [1, 3, 4, 6, 8, 9, 14, 17])
@in_one_test('lead', [(), (2,), (2, 3)])
def test_attend_any_width_of_values_is_the_written_out_mean(value_width, lead):
    query, key = torch.randn(*lead, 5, 4), torch.randn(*lead, 7, 4)
    value = torch.randn(*lead, 7, value_width)
    actual = attend(query, key, value)
    torch.testing.assert_close(actual, written_out(query, key, value), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('value_width', [3, 4, 8, 10])
def test_attend_gradients_are_those_of_the_written_out_mean(value_width):
    given = [torch.randn(2, 5, 4), torch.randn(2, 5, 4), torch.randn(2, 5, value_width)]
    gradients = []
    for function in (attend, written_out):
        inputs = [x.double().requires_grad_() for x in given]
        function(*inputs).square().sum().backward()
        gradients.append([x.grad for x in inputs])
    torch.testing.assert_close(*gradients)


def test_attend_two_pixels_gives_hand_computed_values():
    query, key = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [math.log(3)]])
    value = torch.tensor([[8.0], [4.0]])
    expected = torch.tensor([[0.25 * 8 + 0.75 * 4], [6.0]])
    torch.testing.assert_close(attend(query, key, value), expected)


def test_attend_constant_values_come_back():
    value = torch.arange(3.0).expand(2, 35, 3)
    actual = attend(torch.randn(2, 35, 4), torch.randn(2, 35, 4), value)
    torch.testing.assert_close(actual, value)


@pytest.mark.parametrize('size', [(5, 7), (1, 1), (2, 3)])
def test_group_of_a_map_comes_back_as_the_map(size):
    maps = torch.randn(2, 3, *size)
    rows = module().group(maps)
    assert rows.shape == (2, 1, size[0] * size[1], 3)
    torch.testing.assert_close(rows[:, 0, -1], maps[:, :, -1, -1])
    torch.testing.assert_close(module().ungroup(rows, size), maps)


def test_new_module_without_output_norm_gives_no_context():
    built = PixelAttention(8, 4, value_channels=6, norm_cfg=BN, act_cfg=RELU)
    assert not built(torch.randn(2, 8, 5, 7)).any()


@in_one_test('with_output_norm', [False, True])
@in_one_test('pool_stride, size', [(1, (5, 7)), (2, (5, 7)), (2, (4, 6)), (3, (7, 3))])
def test_output_has_the_size_of_the_input(with_output_norm, pool_stride, size):
    built = module(with_output_norm=with_output_norm, pool_stride=pool_stride, out_channels=5)
    assert built(torch.randn(2, 8, *size)).shape == (2, 5, *size)


def test_pool_stride_attends_between_the_largest_values():
    plain, pooled = module(), module(pool_stride=2)
    pooled.load_state_dict(plain.state_dict())
    feats = torch.randn(1, 8, 4, 6)
    small = plain(torch.nn.functional.max_pool2d(feats, 2))
    expected = torch.nn.functional.interpolate(small, (4, 6), mode='bilinear', align_corners=True)
    torch.testing.assert_close(pooled(feats), expected)


@pytest.mark.parametrize('conv_bias, number', [(False, 0), (True, 4)])
def test_conv_bias_gives_every_convolution_before_a_norm_a_bias(conv_bias, number):
    names = [
        name for name in module(conv_bias=conv_bias).state_dict() if name.endswith('conv.bias')
    ]
    assert len(names) == number


@pytest.mark.parametrize('value_bias', [False, True])
def test_value_bias_gives_the_values_a_bias(value_bias):
    assert ('value_project.bias' in module(value_bias=value_bias).state_dict()) is value_bias


@pytest.mark.parametrize('key_convs', [1, 2])
@pytest.mark.parametrize('is_key_shared', [False, True])
def test_projections_are_as_many_as_asked(key_convs, is_key_shared):
    state = module(key_convs=key_convs, is_key_shared=is_key_shared).state_dict()
    kernels = [name for name in state if name.endswith('.conv.weight')]
    assert len(kernels) == key_convs * (1 if is_key_shared else 2)


def test_no_weight_per_pair_of_pixels_is_kept():
    built = module()
    feats = torch.randn(1, 8, 64, 64)  # 4096 pixels: 16.8 million pairs
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()), lambda x: x):
        built(feats.requires_grad_())
    assert kept
    assert max(kept) < 4096 * 64
