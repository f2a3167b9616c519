import pytest
import torch

from openseg_plugin.layers.resize import concat_at_first, resize_bilinear


@pytest.mark.parametrize(
    'align_corners, expected',
    [(True, [0.0, 1.0, 2.0, 3.0]), (False, [0.0, 0.75, 2.25, 3.0])],
)
def test_resize_bilinear_two_pixels_gives_hand_computed_values(align_corners, expected):
    row = torch.tensor([0.0, 3.0]).view(1, 1, 1, 2)
    out = resize_bilinear(row, (1, 4), align_corners=align_corners)
    torch.testing.assert_close(out.flatten(), torch.tensor(expected))


@pytest.mark.parametrize('size', [(3, 5), torch.Size([3, 5]), [3, 5]])
def test_resize_bilinear_same_size_returns_the_input_itself(size):
    maps = torch.randn(2, 3, 3, 5)
    assert resize_bilinear(maps, size, align_corners=True) is maps


def test_resize_bilinear_keeps_channels_last():
    maps = torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last)
    out = resize_bilinear(maps, (7, 9), align_corners=True)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings('error')
def test_concat_at_first_brings_all_maps_to_the_first_size_in_order():
    maps = [torch.full((1, 1, 5, 7), 1.0), torch.full((1, 2, 3, 4), 2.0)]
    out = concat_at_first(maps, align_corners=True)
    assert out.shape == (1, 3, 5, 7)
    torch.testing.assert_close(out[0, :, 2, 3], torch.tensor([1.0, 2.0, 2.0]))
