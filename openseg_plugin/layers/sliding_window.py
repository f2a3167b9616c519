"""Sliding windows: where they lie, and the mean of what a function says about each.

N batch, C input channels, K output channels, H, W image size in pixels. Windows are placed as
in MMSegmentation: a grid of the given stride, the last row and column moved inside the image.
Every window's output is added to its slice of one accumulator; padding every window to the full
image first gives the same sums bit for bit (adding zeros changes nothing) at 8 times the cost.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Window = tuple[slice, slice]


def _starts(length: int, window: int, stride: int) -> list[int]:
    count = max(length - window + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - window), 0) for i in range(count)]


def window_slices(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> list[Window]:
    """Row and column slices of every window, row by row.

    Args:
        size: (H, W) of the image.
        window: (height, width) of a window; an image smaller than that gives smaller windows.
        stride: (rows, columns) from one window to the next.

    Raises:
        ValueError: if a stride is larger than its window, so that pixels would be left out.
    """
    if any(not 0 < s <= w for s, w in zip(stride, window)):
        raise ValueError(
            f'test_cfg has stride={tuple(stride)} and crop_size={tuple(window)}: pixels would be '
            'left out; give a stride between 1 and the crop size in each direction'
        )
    rows = [slice(y, min(y + window[0], size[0])) for y in _starts(size[0], window[0], stride[0])]
    cols = [slice(x, min(x + window[1], size[1])) for x in _starts(size[1], window[1], stride[1])]
    return [(row, col) for row in rows for col in cols]


def slide(
    inputs: Tensor,
    function: Callable[[Tensor], Tensor],
    *,
    window: tuple[int, int],
    stride: tuple[int, int],
    batch: int = 1,
) -> Tensor:
    """Mean over all windows of ``function``, at the size of the image.

    Args:
        inputs: (N, C, H, W).
        function: (M, C, h, w) -> (M, K, h, w), of the window's own size.
        window: (height, width) in pixels.
        stride: (rows, columns) in pixels.
        batch: windows per call of ``function`` (they all have one size). More than 1 helps a GPU;
            it may change the last bits of a convolution's result.

    Returns:
        (N, K, H, W): the sum of the windows' outputs over their number at each pixel.
    """
    size = (inputs.shape[2], inputs.shape[3])
    windows = window_slices(size, window, stride)
    number = len(inputs)
    total = None
    count = inputs.new_zeros((1, 1, *size))
    for start in range(0, len(windows), batch):
        group = windows[start : start + batch]
        outputs = function(torch.cat([inputs[:, :, rows, cols] for rows, cols in group]))
        if total is None:
            # at least the inputs' precision: half-precision windows are summed in float32
            dtype = torch.promote_types(outputs.dtype, inputs.dtype)
            total = outputs.new_zeros((number, outputs.shape[1], *size), dtype=dtype)
        for (rows, cols), output in zip(group, outputs.split(number)):
            total[:, :, rows, cols] += output
            count[:, :, rows, cols] += 1
    assert total is not None, 'an image has a window'
    return total.div_(count)
