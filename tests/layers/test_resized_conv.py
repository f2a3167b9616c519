"""A convolution of joined maps, made from the small ones: the same sums."""

import itertools
from functools import partial

import pytest
import torch
from torch import nn

from openseg_plugin.layers.resize import (
    concat_at_first,
    conv_of_resized,
    is_resized_conv,
    recorded_conv_of_resized,
)

WIDTHS = (8, 16, 200, 208)  # channels of maps that are resized by 1, 2, about 4 and about 8


def maps(size, *, number=2):
    torch.manual_seed(0)
    return [
        torch.randn(number, width, *(-(-side // 2**i) for side in size), dtype=torch.float64)
        for i, width in enumerate(WIDTHS)
    ]


@torch.no_grad()
def test_conv_of_resized_is_the_convolution_of_the_joined_maps():
    sizes = ((64, 128), (70, 131), (33, 40), (8, 8))
    for size, corners, taps in itertools.product(sizes, (False, True, 'top_left'), (1, 3)):
        conv = nn.Conv2d(sum(WIDTHS), 5, taps, padding=taps // 2).double()
        given = maps(size)
        expected = conv(concat_at_first(given, align_corners=corners))
        recorded = partial(recorded_conv_of_resized, is_small=(False, False, True, True))
        for function in (conv_of_resized, recorded):
            found = function(conv, given, align_corners=corners)
            assert found.shape == expected.shape
            error = float((found - expected).abs().max())
            assert error < 1e-10, f'{function}, {size}, {corners}, {taps} taps: {error}'


@torch.no_grad()
def test_is_resized_conv_names_what_is_made_another_way():
    given = maps((64, 128))
    width = sum(WIDTHS)
    assert is_resized_conv(nn.Conv2d(width, 5, 3, padding=1), given)
    assert not is_resized_conv(nn.Conv2d(width, 5, 3, padding=1), given[:2])
    for other in (
        nn.Conv2d(width, 5, 3, padding=1, stride=2),
        nn.Conv2d(width, 5, 3, padding=2, dilation=2),
        nn.Conv2d(width, 5, 3),
        nn.Conv2d(width, 5, 3, padding=1, padding_mode='reflect'),
        nn.Conv2d(width, 4, 3, padding=1, groups=2),
        nn.Identity(),
    ):
        assert not is_resized_conv(other, given), other


def test_is_resized_conv_leaves_training_alone():
    assert not is_resized_conv(nn.Conv2d(sum(WIDTHS), 5, 3, padding=1), maps((64, 128)))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_conv_of_resized_in_other_types(dtype):
    conv = nn.Conv2d(sum(WIDTHS), 5, 3, padding=1)
    given = [one.float() for one in maps((64, 96))]
    expected = conv(concat_at_first(given, align_corners=False))
    found = conv_of_resized(conv.to(dtype), [one.to(dtype) for one in given], align_corners=False)
    assert found.dtype == dtype
    error = float((found.float() - expected).norm() / expected.norm())
    assert error < (1e-5 if dtype == torch.float32 else 0.02)
