"""Convolution + normalisation + activation, with a convolution bias where the source has one.

Convolution of stride 2 that pads like TensorFlow's "SAME": as little as possible, at the end.

With kernel 3 and stride 2 an even side gets 0 pixels before and 1 behind it, an odd side 1 and 1.
An ordinary convolution pads 1 and 1 always, so for even sides its windows lie one pixel further up
and left. PaddleSeg's HRNet was trained with the former.

Legend: N batch, C channels, (H, W) size of the map in pixels.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn


def conv_norm_act(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    norm_cfg: dict | None,
    act_cfg: dict | None,
    bias: bool = False,
    dilation: int = 1,
) -> ConvModule:
    """A ConvModule that keeps the size of its input.

    openseg and HRNet-OCR put a bias on convolutions in front of a normalisation. It is without
    effect on the output (the running mean absorbs it), yet published files hold it, and weight
    decay acts on it. mmcv's ConvModule warns about such a bias; here it is wanted.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd.
        norm_cfg: normalisation, as mmcv builds it; None for none (the convolution has a bias then).
        act_cfg: activation, as mmcv builds it; None for none.
        bias: give the convolution a bias although a normalisation follows.
        dilation: distance of the kernel's taps, in pixels.
    """
    module = ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    )
    if bias and module.conv.bias is None:
        module.conv.bias = nn.Parameter(torch.zeros(out_channels))
    return module


class SameConv2d(nn.Conv2d):
    """Convolution without padding of its own: (N, C, H, W) -> (N, C', ceil(H/s), ceil(W/s))."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The convolution of ``inputs`` padded with zeros."""
        return same_conv(self, inputs)


def same_conv(conv: nn.Conv2d, inputs: Tensor) -> Tensor:
    """The convolution of ``inputs`` padded with zeros, whatever padding ``conv`` names."""
    pads = []
    for axis in (3, 2):
        side, step = inputs.shape[axis], conv.stride[axis - 2]
        reach = conv.dilation[axis - 2] * (conv.kernel_size[axis - 2] - 1) + 1
        # (side - 1) // step is ceil(side / step) - 1, also where a target truncates quotients
        total = (side - 1) // step * step + reach - side
        if reach < step:  # otherwise never below 0, which a recorded graph need not ask
            total = 0 if reach == 1 else max(total, 0)
        pads += [total // 2, total - total // 2]
    padded = F.pad(inputs, pads)
    return F.conv2d(padded, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
