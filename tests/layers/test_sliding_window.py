"""layers/sliding_window.py: placement and bit-identical merging."""

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test

from openseg_plugin.layers.sliding_window import slide, window_slices


def test_window_slices_of_an_uneven_grid_moves_the_last_ones_inside():
    windows = window_slices((10, 7), (4, 4), (3, 4))
    assert [(rows.start, rows.stop) for rows, _ in windows[::2]] == [(0, 4), (3, 7), (6, 10)]
    assert [(cols.start, cols.stop) for _, cols in windows[:2]] == [(0, 4), (3, 7)]


def test_window_slices_of_a_small_image_is_the_image():
    assert window_slices((3, 5), (4, 8), (2, 4)) == [(slice(0, 3), slice(0, 5))]


@pytest.mark.parametrize('stride', [(5, 2), (0, 2)])
def test_window_slices_with_gaps_is_refused(stride):
    with pytest.raises(ValueError, match=r'test_cfg has stride=.* crop_size=\(4, 4\)'):
        window_slices((10, 10), (4, 4), stride)


def padded_mean(inputs, function, window, stride):
    """The straightforward way: every window padded to the image, then added."""
    height, width = inputs.shape[2:]
    total, count = 0, inputs.new_zeros(1, 1, height, width)
    for rows, cols in window_slices((height, width), window, stride):
        output = function(inputs[:, :, rows, cols])
        pad = (cols.start, width - cols.stop, rows.start, height - rows.stop)
        total = total + F.pad(output, pad)
        count[:, :, rows, cols] += 1
    return total / count


@in_one_test('batch', [1, 2, 5])
@in_one_test(('size', 'stride'), [((40, 61), (7, 11)), ((9, 50), (10, 13))])
def test_slide_gives_the_bits_of_padding_and_adding(size, stride, batch):
    inputs = torch.randn(2, 3, *size)

    def function(window):
        return torch.cat([window * 1.7, window[:, :1].sin()], dim=1)

    got = slide(inputs, function, window=(16, 16), stride=stride, batch=batch)
    assert torch.equal(got, padded_mean(inputs, function, (16, 16), stride))


def test_slide_of_half_precision_windows_sums_in_the_inputs_precision():
    inputs = torch.randn(1, 2, 8, 8)
    got = slide(inputs, lambda window: window.half(), window=(4, 4), stride=(2, 2))
    assert got.dtype == torch.float32
