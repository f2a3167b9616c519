"""Convolution + normalisation + activation, with a convolution bias where the source has one."""

import torch
from mmcv.cnn import ConvModule
from torch import nn


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
