"""Region gather, object attention and the block around them, on a few pixels."""

import math

import pytest
import torch
from in_one_test import in_one_test
from mmseg.models.decode_heads.ocr_head import ObjectAttentionBlock, SpatialGatherModule
from random_norms import shuffle_norms

from openseg_plugin.layers.object_context import (
    ObjectAttention,
    ObjectContextBlock,
    gather_regions,
    object_attention,
)

BN = dict(type='BN')
RELU = dict(type='ReLU')
LEAKY = dict(type='LeakyReLU', negative_slope=0.01)


def block(cls=ObjectContextBlock, **options):
    options = dict(dict(norm_cfg=BN, act_cfg=RELU), **options)
    return shuffle_norms(cls(8, 4, **options))


def test_training_keeps_no_joined_map():
    block = ObjectContextBlock(8, 4, norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU')).train()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        block(torch.randn(2, 8, 6, 7), torch.randn(2, 8, 3))
    assert (2, 8, 6, 7) in kept
    assert (2, 16, 6, 7) not in kept


def test_gather_regions_two_pixels_is_the_softmax_weighted_mean():
    feats = torch.tensor([[[[1.0, 5.0]], [[2.0, -2.0]]]])  # 2 channels, 1 x 2 pixels
    logits = torch.tensor([[[[0.0, math.log(3)]]]])  # weights 1/4 and 3/4
    expected = torch.tensor([[[0.25 * 1 + 0.75 * 5], [0.25 * 2 - 0.75 * 2]]])
    torch.testing.assert_close(gather_regions(feats, logits), expected)


def test_gather_regions_constant_features_come_back_whatever_the_logits():
    feats = torch.arange(3.0).view(1, 3, 1, 1).expand(2, 3, 5, 7)
    regions = gather_regions(feats, 10 * torch.randn(2, 4, 5, 7))
    torch.testing.assert_close(regions, torch.arange(3.0).view(1, 3, 1).expand(2, 3, 4))


def test_gather_regions_shift_of_one_class_changes_nothing():
    feats, logits = torch.randn(2, 3, 5, 7), torch.randn(2, 4, 5, 7)
    shifted = logits + torch.randn(2, 4, 1, 1)
    torch.testing.assert_close(gather_regions(feats, shifted), gather_regions(feats, logits))


def test_gather_regions_sharp_logits_pick_one_pixel():
    feats = torch.randn(1, 3, 2, 3)
    logits = torch.zeros(1, 1, 2, 3)
    logits[0, 0, 1, 2] = 200
    torch.testing.assert_close(gather_regions(feats, logits)[0, :, 0], feats[0, :, 1, 2])


def test_object_attention_one_pixel_gives_hand_computed_values():
    query = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 4, 1, 1)
    key = torch.zeros(1, 4, 2)
    key[0, 0, 1] = 2 * math.log(3)  # over sqrt(4): the second region scores log 3, so weight 3/4
    value = torch.tensor([[[8.0, 4.0]]])
    out = object_attention(query, key, value)
    assert out.shape == (1, 1, 1, 1)
    assert out.item() == pytest.approx(0.25 * 8 + 0.75 * 4)


def test_object_attention_equal_values_come_back_so_weights_sum_to_one():
    query, key = torch.randn(2, 4, 5, 3), torch.randn(2, 4, 6)
    value = torch.arange(3.0).view(1, 3, 1).expand(2, 3, 6)
    expected = torch.arange(3.0).view(1, 3, 1, 1).expand(2, 3, 5, 3)
    torch.testing.assert_close(object_attention(query, key, value), expected)


def test_object_attention_pixels_do_not_influence_each_other():
    query, key, value = torch.randn(1, 4, 2, 3), torch.randn(1, 4, 5), torch.randn(1, 6, 5)
    before = object_attention(query, key, value)
    query[..., 0, 0] += 1
    after = object_attention(query, key, value)
    assert not torch.equal(before[..., 0, 0], after[..., 0, 0])
    torch.testing.assert_close(before[..., 1, :], after[..., 1, :])


@pytest.mark.parametrize('batch', [1, 2])
def test_object_attention_channels_last_gives_the_same_values_in_that_format(batch):
    query, key, value = (torch.randn(batch, *s) for s in ((4, 3, 5), (4, 6), (8, 6)))
    expected = object_attention(query, key, value)
    last = object_attention(query.to(memory_format=torch.channels_last), key, value)
    # torch.cat asks for the exact strides, also of a batch of one
    assert last.stride() == expected.to(memory_format=torch.channels_last).clone().stride()
    torch.testing.assert_close(last, expected)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_object_attention_gradients_agree_with_finite_differences(memory_format):
    shapes = [(1, 3, 2, 2), (1, 3, 2), (1, 2, 2)]
    inputs = [torch.randn(s, dtype=torch.float64) for s in shapes]
    inputs[0] = inputs[0].to(memory_format=memory_format)
    assert torch.autograd.gradcheck(object_attention, [x.requires_grad_() for x in inputs])


def test_gather_regions_gradients_agree_with_finite_differences():
    inputs = [torch.randn(1, k, 2, 2, dtype=torch.float64, requires_grad=True) for k in (3, 2)]
    assert torch.autograd.gradcheck(gather_regions, inputs)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('size', [(4, 6), (3, 5)])
def test_block_equals_mmseg_with_the_same_weights(training, size):
    ours = block().train(training)
    theirs = ObjectAttentionBlock(8, 4, 1, None, BN, RELU).train(training)
    theirs.load_state_dict(ours.state_dict())
    feats, logits = torch.randn(2, 8, *size), torch.randn(2, 5, *size)
    regions_NCK1 = SpatialGatherModule(1)(feats, logits)
    torch.testing.assert_close(gather_regions(feats, logits), regions_NCK1.squeeze(3))
    expected = theirs(feats, regions_NCK1)
    torch.testing.assert_close(
        ours(feats, gather_regions(feats, logits)), expected, rtol=1e-4, atol=1e-5
    )


@in_one_test('act_cfg', [RELU, LEAKY, None])
@in_one_test('norm_cfg', [BN, None])
def test_attention_projects_the_values_first_with_the_same_result(norm_cfg, act_cfg):
    module = block(ObjectAttention, norm_cfg=norm_cfg, act_cfg=act_cfg).double().eval()
    feats = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    regions = torch.randn(2, 8, 6, dtype=torch.float64)
    query = module.query_project(feats)
    key = module.key_project(regions.unsqueeze(3)).squeeze(3)
    value = module.value_project(regions.unsqueeze(3)).squeeze(3)
    expected = module.out_project(object_attention(query, key, value))
    torch.testing.assert_close(module(feats, regions), expected)


def test_attention_values_are_projected_per_region_only_while_norms_are_fixed():
    module = block(ObjectAttention)
    sizes = []
    module.out_project.conv.register_forward_hook(lambda *args: sizes.append(args[2].shape[2:]))
    for training in (True, False):
        module.train(training)(torch.randn(2, 8, 3, 5), torch.randn(2, 8, 6))
    assert sizes == [(3, 5), (6, 1)]


def test_attention_group_norm_is_applied_to_pixels():
    module = block(ObjectAttention, norm_cfg=dict(type='GN', num_groups=2)).eval()
    sizes = []
    module.out_project.conv.register_forward_hook(lambda *args: sizes.append(args[2].shape[2:]))
    module(torch.randn(2, 8, 3, 5), torch.randn(2, 8, 6))
    assert sizes == [(3, 5)]


@pytest.mark.parametrize('conv_bias', [True, False])
def test_block_conv_bias_holds_for_every_convolution(conv_bias):
    names = [k for k in block(conv_bias=conv_bias).state_dict() if k.endswith('conv.weight')]
    biases = [k for k in block(conv_bias=conv_bias).state_dict() if k.endswith('conv.bias')]
    assert len(names) == 7
    assert len(biases) == (7 if conv_bias else 0)


def test_block_gradients_reach_features_regions_and_all_weights():
    module = block()
    feats = torch.randn(2, 8, 3, 5, requires_grad=True)
    regions = torch.randn(2, 8, 6, requires_grad=True)
    module(feats, regions).square().sum().backward()
    for tensor in (feats, regions, *module.parameters()):
        assert tensor.grad.abs().sum() > 0
