"""Joint pyramid upsampling (JPU): a map of stride 8 from three maps of a plain backbone.

Paper: Wu et al., "FastFCN: Rethinking Dilated Convolution in the Backbone for Semantic
Segmentation", arXiv 1903.11816, Sec. 3.3. Key names are those of mmseg's JPU.

Legend: N batch, (h, w) size of the finest map in its own pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.resize import resize_bilinear


class JointPyramidUpsampling(nn.Module):
    """Maps, finest first -> (N, len(dilations) * channels, h, w) at the finest map's size.

    Args:
        in_channels: width of each map, finest first.
        channels: width of the convolution of each map and of each dilated branch.
        dilations: dilation of the 3x3 convolution of each branch.
        coarse_first: concatenate the maps coarsest first, as the authors' code and
            pytorch-cv do; False: finest first, as mmseg does. Weights fit the order they were
            trained in.
        align_corners: convention of the resize; True in the authors' code and pytorch-cv, False in
            mmseg.
        norm_act: ``norm_cfg`` and ``act_cfg`` of :func:`~openseg_plugin.layers.conv.conv_norm_act`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 512,
        *,
        dilations: Sequence[int] = (1, 2, 4, 8),
        coarse_first: bool = False,
        align_corners: bool = True,
        **norm_act: Any,
    ) -> None:
        super().__init__()
        self.coarse_first = coarse_first
        self.align_corners = align_corners
        self.conv_layers = nn.ModuleList(
            nn.Sequential(conv_norm_act(width, channels, 3, **norm_act)) for width in in_channels
        )
        self.dilation_layers = nn.ModuleList(
            nn.Sequential(_branch(len(in_channels) * channels, channels, d, **norm_act))
            for d in dilations
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """One map of ``maps``, finest first."""
        maps = [conv(x) for conv, x in zip(self.conv_layers, maps, strict=True)]
        size = maps[0].shape[2:]
        maps = [resize_bilinear(x, size, align_corners=self.align_corners) for x in maps]
        joint = torch.cat(maps[::-1] if self.coarse_first else maps, dim=1)
        return torch.cat([branch(joint) for branch in self.dilation_layers], dim=1)


def _branch(
    in_channels: int, channels: int, dilation: int, *, norm_cfg: dict | None, act_cfg: dict | None
) -> ConvModule:
    return DepthwiseSeparableConvModule(
        in_channels,
        channels,
        3,
        padding=dilation,
        dilation=dilation,
        dw_norm_cfg=norm_cfg,
        dw_act_cfg=None,
        pw_norm_cfg=norm_cfg,
        pw_act_cfg=act_cfg,
    )
