import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.layers.resize import concat_at_first, resize_bilinear


@pytest.mark.parametrize(
    'align_corners, expected',
    [
        (True, [0.0, 1.0, 2.0, 3.0]),
        (False, [0.0, 0.75, 2.25, 3.0]),
        ('top_left', [0.0, 1.5, 3.0, 3.0]),
    ],
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


@in_one_test('dtype', [torch.float32, torch.float64])
@in_one_test('size', [(5, 7), (9, 16), (2, 3)])
def test_resize_top_left_reads_row_y_from_y_times_the_ratio(size, dtype):
    maps = torch.randn(2, 3, 4, 6, dtype=dtype)
    out = resize_bilinear(maps, size, align_corners='top_left')
    assert (out.shape, out.dtype) == ((2, 3, *size), dtype)
    for y in range(size[0]):
        for x in range(size[1]):
            top, left = min(y * 4 / size[0], 3), min(x * 6 / size[1], 5)
            i, j = int(top), int(left)
            rows = torch.lerp(maps[:, :, i], maps[:, :, min(i + 1, 3)], top - i)
            expected = torch.lerp(rows[:, :, j], rows[:, :, min(j + 1, 5)], left - j)
            torch.testing.assert_close(out[:, :, y, x], expected)


def test_resize_top_left_has_gradients():
    maps = torch.randn(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: resize_bilinear(x, (5, 6), align_corners='top_left'), maps
    )
