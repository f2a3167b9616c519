"""Convolution of stride 2 that pads like TensorFlow's "SAME": as little as possible, at the end.

With kernel 3 and stride 2 an even side gets 0 pixels before and 1 behind it, an odd side 1 and 1.
An ordinary convolution pads 1 and 1 always, so for even sides its windows lie one pixel further up
and left. PaddleSeg's HRNet was trained with the former.

Legend: N batch, C channels, (H, W) size of the map in pixels.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class SameConv2d(nn.Conv2d):
    """Convolution without padding of its own: (N, C, H, W) -> (N, C', ceil(H/s), ceil(W/s))."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The convolution of ``inputs`` padded with zeros."""
        pads = []
        for axis in (3, 2):
            side, step = inputs.shape[axis], self.stride[axis - 2]
            reach = self.dilation[axis - 2] * (self.kernel_size[axis - 2] - 1) + 1
            total = max((-(-side // step) - 1) * step + reach - side, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(inputs, pads))
