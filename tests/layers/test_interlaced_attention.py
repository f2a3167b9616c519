"""Interlaced attention on a few pixels, against loops over the groups."""

import pytest
import torch
from in_one_test import in_one_test
from random_norms import shuffle_norms
from torch.nn.functional import pad

from openseg_plugin.layers.interlaced_attention import (
    InterlacedAttention,
    group_pixels,
    padding_of,
    ungroup_pixels,
)

BN = dict(type='BN')
RELU = dict(type='ReLU')


def members(reach, window, size):
    """(row, column) of the pixels of each group, in order."""
    rows, columns = range(0, size[0], window[0]), range(0, size[1], window[1])
    corners = [(r, c) for r in rows for c in columns]
    places = [(r, c) for r in range(window[0]) for c in range(window[1])]
    outer, inner = (places, corners) if reach == 'long' else (corners, places)
    return [[(a + c, b + d) for c, d in inner] for a, b in outer]


def module(window=(2, 3), **options):
    options = {'norm_cfg': BN, 'act_cfg': RELU, **options}
    return shuffle_norms(InterlacedAttention(8, 4, window=window, **options)).eval()


@in_one_test('reach', ['long', 'short'])
@in_one_test('window', [(2, 3), (1, 6), (4, 1)])
def test_group_pixels_holds_the_pixels_of_each_group(reach, window):
    maps = torch.randn(2, 5, 4, 6)
    grouped = group_pixels(maps, window, reach=reach)
    for index, pixels in enumerate(members(reach, window, (4, 6))):
        for place, (row, column) in enumerate(pixels):
            torch.testing.assert_close(grouped[:, index, place], maps[:, :, row, column])
    back = ungroup_pixels(grouped, window, reach=reach, size=(4, 6))
    torch.testing.assert_close(back, maps)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((4, 6), (0, 0, 0, 0)),
        ((3, 5), (0, 1, 0, 1)),
        ((1, 1), (1, 1, 0, 1)),
        ((5, 7), (1, 1, 0, 1)),
    ],
)
def test_padding_puts_the_smaller_half_left_and_on_top(size, expected):
    assert padding_of(size, (2, 3)) == expected


@in_one_test('size', [(4, 6), (5, 7), (1, 1), (3, 11)])
@in_one_test('window', [(2, 3), (8, 8)])
def test_output_has_the_size_of_the_input(size, window):
    assert module(window)(torch.randn(2, 8, *size)).shape == (2, 8, *size)


def test_padded_pixels_take_part():
    built = module((4, 4))
    feats = torch.randn(1, 8, 3, 3)
    expected = built(pad(feats, (0, 1, 0, 1)))[..., :3, :3]
    torch.testing.assert_close(built(feats), expected)


def test_every_pixel_reaches_every_other():
    built = module((2, 2), value_bias=True, act_cfg=dict(type='LeakyReLU'))
    feats = torch.randn(1, 8, 4, 4, requires_grad=True)
    built(feats)[0, :, 0, 0].sum().backward()
    assert (feats.grad.abs().sum(dim=(0, 1)) > 0).all()


@pytest.mark.parametrize('reach', ['long', 'short'])
def test_pixels_of_other_groups_have_no_influence(reach):
    built = module((2, 3), value_bias=True)
    relation = built.global_relation if reach == 'long' else built.local_relation
    feats = torch.randn(1, 8, 4, 6)
    before = relation(feats)
    group = members(reach, (2, 3), (4, 6))[1]
    rows, columns = zip(*group)
    feats[:, :, rows, columns] += 1
    changed = (relation(feats) - before).abs().amax(dim=(0, 1)) > 0
    assert changed[rows, columns].any()
    changed[rows, columns] = False
    assert not changed.any()


def test_matches_mmseg_with_its_key_names():
    from mmseg.models.decode_heads.isa_head import SelfAttentionBlock

    built = module(value_bias=True).global_relation
    theirs = SelfAttentionBlock(8, 4, None, BN, RELU).eval()
    theirs.load_state_dict(built.state_dict(), strict=True)
    feats = torch.randn(1, 8, 2, 3)
    # with one window the only group of the short range is the whole map
    built.reach = 'short'
    torch.testing.assert_close(built(feats), theirs(feats), rtol=1e-4, atol=1e-5)
