"""Context beside dilated convolutions, on a few pixels."""

import pytest
import torch
from in_one_test import in_one_test
from random_norms import shuffle_norms

from openseg_plugin.layers.asp_object_context import (
    ASPObjectContext,
    ASPRegionContext,
    DilatedBranches,
)
from openseg_plugin.layers.object_context import gather_regions

NORM_ACT = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'))
COMMON = dict(out_channels=7, dilations=(1, 2, 3), **NORM_ACT)
ATTENTION = dict(key_channels=4, value_channels=4, pool_stride=2)


def test_branches_join_the_context_and_then_each_convolution():
    built = shuffle_norms(DilatedBranches(8, 6, bias=False, **COMMON)).eval()
    feats, context = torch.randn(1, 8, 5, 7), torch.randn(1, 6, 5, 7)
    joined = torch.cat([context, *(conv(feats) for conv in built.convs)], dim=1)
    torch.testing.assert_close(built(feats, context), built.bottleneck(joined))


@pytest.mark.parametrize('dilation', [2, 3])
def test_dilated_branch_sees_pixels_at_its_distance_and_keeps_the_size(dilation):
    built = DilatedBranches(1, 1, bias=False, **(COMMON | dict(dilations=(dilation,))))
    conv = built.convs[1].conv
    feats = torch.zeros(1, 1, 9, 9)
    feats[0, 0, 4, 4] = 1
    rows, columns = conv(feats)[0, 0].nonzero().T
    assert set(rows.tolist()) == set(columns.tolist()) == {4 - dilation, 4, 4 + dilation}


@pytest.mark.parametrize('size', [(5, 7), (1, 1)])
def test_region_context_attends_to_the_gathered_regions(size):
    built = shuffle_norms(ASPRegionContext(8, 6, key_channels=4, conv_bias=True, **COMMON)).eval()
    feats, scores = torch.randn(2, 8, *size), torch.randn(2, 3, *size)
    pixels = built.context_conv(feats)
    context = built.object_attention(pixels, gather_regions(pixels, scores))
    torch.testing.assert_close(built(feats, scores), built.branches(feats, context))


@in_one_test('with_context_conv', [False, True])
@in_one_test('size', [(5, 7), (4, 6), (1, 1)])
def test_object_context_normalizes_after_the_resize(with_context_conv, size):
    built = shuffle_norms(
        ASPObjectContext(
            8,
            6,
            attention=ATTENTION,
            with_context_conv=with_context_conv,
            conv_bias=True,
            **COMMON,
        )
    ).eval()
    feats = torch.randn(2, 8, *size)
    context = built.self_attention(built.context_conv(feats))
    assert context.shape == (2, 6, *size)
    expected = built.branches(feats, built.context_norm(context))
    torch.testing.assert_close(built(feats), expected)
    assert ('context_norm.conv.weight' in built.state_dict()) is with_context_conv
