"""Context from true regions, on a few pixels."""

import pytest
import torch
from random_norms import shuffle_norms

from openseg_plugin.layers.oracle_context import (
    OracleContextBlock,
    distribute_gt,
    gather_gt_regions,
    gt_regions,
)

NORM_ACT = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'))


def test_true_regions_pick_pixels_by_the_floor_rule_and_ignored_ones_are_the_last():
    given = torch.tensor([[[0, 1, 2], [255, 1, 0], [2, 2, 1]]])
    regions = gt_regions(given, 4, size=(2, 2), ignore_index=255)
    assert regions.argmax(dim=1).tolist() == [[[0, 1], [3, 1]]]
    assert torch.equal(regions.sum(dim=1), torch.ones(1, 2, 2))


def test_gather_true_regions_is_the_mean_of_each_region_and_zero_for_an_empty_one():
    feats = torch.tensor([[[[1.0, 3.0, 8.0]]]])
    regions = gt_regions(torch.tensor([[[0, 0, 2]]]), 3, size=(1, 3), ignore_index=255)
    assert gather_gt_regions(feats, regions).tolist() == [[[2.0, 0.0, 8.0]]]


def test_distribute_gt_gives_the_own_region_or_the_mean_of_the_others():
    value = torch.tensor([[[1.0, 3.0, 8.0]]])
    regions = gt_regions(torch.tensor([[[0, 2]]]), 3, size=(1, 2), ignore_index=255)
    assert distribute_gt(value, regions).tolist() == [[[[1.0, 8.0]]]]
    others = distribute_gt(value, regions, context='background')
    torch.testing.assert_close(others, torch.tensor([[[[5.5, 2.0]]]]))


@pytest.mark.parametrize('contexts', [('object',), ('background',), ('object', 'background')])
def test_block_joins_the_contexts_and_then_the_features(contexts):
    block = OracleContextBlock(
        8,
        4,
        out_channels=6,
        gather='gt',
        distribute='gt',
        contexts=contexts,
        **NORM_ACT,
    )
    shuffle_norms(block).eval()
    feats = torch.randn(2, 8, 5, 7)
    gt = gt_regions(torch.randint(0, 3, (2, 5, 7)), 4, size=(5, 7), ignore_index=255)
    regions = block.regions(feats, None, gt)
    value = block.value_project(regions[..., None])[..., 0]
    parts = [block.out_project(distribute_gt(value, gt, context=c)) for c in contexts]
    expected = block.bottleneck(torch.cat([*parts, feats], dim=1))
    torch.testing.assert_close(block(feats, regions, gt), expected)


def test_block_with_predicted_attention_is_that_of_plain_ocr():
    from openseg_plugin.layers.object_context import ObjectContextBlock

    plain = shuffle_norms(ObjectContextBlock(8, 4, **NORM_ACT)).eval()
    block = OracleContextBlock(
        8,
        4,
        out_channels=8,
        gather='gt',
        distribute='predicted',
        contexts=('object',),
        **NORM_ACT,
    ).eval()
    block.load_state_dict(plain.state_dict(), strict=True)
    feats, regions = torch.randn(2, 8, 5, 7), torch.randn(2, 8, 3)
    torch.testing.assert_close(block(feats, regions, None), plain(feats, regions))
