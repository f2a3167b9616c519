"""CE2P's edge branch and decoder, on a few pixels."""

import pytest
import torch
from random_norms import shuffle_norms
from torch.nn.functional import interpolate

from openseg_plugin.layers.edge_branch import DetailDecoder, EdgeBranch

NORM_ACT = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'))


def maps():
    return [torch.randn(2, 4, 9, 8), torch.randn(2, 6, 5, 4), torch.randn(2, 8, 3, 2)]


def resized(x, size, align_corners):
    return interpolate(x, size, mode='bilinear', align_corners=align_corners)


@pytest.mark.parametrize('align_corners', [False, True])
def test_edges_are_fused_from_the_resized_scores_of_every_map(align_corners):
    branch = EdgeBranch((4, 6, 8), 5, align_corners=align_corners, **NORM_ACT)
    branch = shuffle_norms(branch).eval()
    given = maps()
    feats = [conv(x) for conv, x in zip(branch.convs, given)]
    scores = [resized(branch.score(x), (9, 8), align_corners) for x in feats]
    edges, edge_feats = branch(given)
    torch.testing.assert_close(edges, branch.fuse(torch.cat(scores, dim=1)))
    expected = [resized(x, (9, 8), align_corners) for x in feats]
    torch.testing.assert_close(edge_feats, torch.cat(expected, dim=1))


def test_maps_share_the_convolution_that_scores_them():
    branch = EdgeBranch((4, 6, 8), 5, align_corners=True, **NORM_ACT)
    assert branch.score.weight.shape == (2, 5, 3, 3)
    assert branch.fuse.weight.shape == (2, 6, 1, 1)


@pytest.mark.parametrize('align_corners', [False, True])
def test_decoder_joins_the_resized_context_and_the_narrowed_details(align_corners):
    decoder = DetailDecoder(
        8, 4, channels=6, narrow_channels=3, align_corners=align_corners, **NORM_ACT
    )
    decoder = shuffle_norms(decoder).eval()
    details, context = torch.randn(2, 4, 9, 8), torch.randn(2, 8, 3, 2)
    wide = resized(decoder.context_conv(context), (9, 8), align_corners)
    expected = decoder.fuse(torch.cat([wide, decoder.detail_conv(details)], dim=1))
    torch.testing.assert_close(decoder(context, details), expected)
    assert expected.shape == (2, 6, 9, 8)
