"""SAME padding: sizes and windows by hand."""

import pytest
import torch
import torch.nn.functional as F

from openseg_plugin.layers.conv import SameConv2d


def conv(stride: int = 2, kernel_size: int = 3) -> SameConv2d:
    return SameConv2d(2, 3, kernel_size, stride, bias=False).double()


@torch.no_grad()
@pytest.mark.parametrize('side, before, behind', [(6, 0, 1), (7, 1, 1), (1, 1, 1), (2, 0, 1)])
def test_stride_2_pads_even_sides_at_the_end_and_odd_sides_on_both(side, before, behind):
    layer = conv()
    maps = torch.randn(1, 2, side, side, dtype=torch.float64)
    expected = F.conv2d(F.pad(maps, (before, behind) * 2), layer.weight, stride=2)
    assert expected.shape[2:] == (-(-side // 2),) * 2
    torch.testing.assert_close(layer(maps), expected, rtol=0, atol=0)


@torch.no_grad()
def test_sides_are_padded_each_by_its_own_length():
    layer = conv()
    maps = torch.randn(1, 2, 6, 7, dtype=torch.float64)
    expected = F.conv2d(F.pad(maps, (1, 1, 0, 1)), layer.weight, stride=2)
    torch.testing.assert_close(layer(maps), expected, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_stride_1_is_the_usual_padding(kernel_size):
    layer = conv(stride=1, kernel_size=kernel_size)
    maps = torch.randn(1, 2, 6, 7, dtype=torch.float64)
    expected = F.conv2d(maps, layer.weight, padding=kernel_size // 2)
    torch.testing.assert_close(layer(maps), expected, rtol=0, atol=0)
