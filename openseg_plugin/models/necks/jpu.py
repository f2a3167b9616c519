"""Joint pyramid upsampling (JPU): a map of stride 8 from three maps of a plain backbone.

Paper: Wu et al., "FastFCN: Rethinking Dilated Convolution in the Backbone for Semantic
Segmentation", arXiv 1903.11816, Sec. 3.3. Key names are those of mmseg's JPU.

Legend: N batch, (h, w) size of the finest map that is used, in its own pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.heads.decode_head import BATCH_NORM
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class JPU(BaseModule):
    """The backbone's maps with the last one replaced by the joint map.

    So a head reads the joint map under the index that the last map had (its width is
    ``4 * channels``), and an auxiliary head reads the map before it as without this neck.
    (mmseg's JPU drops the maps below the first one that it uses.)

    Args:
        in_channels: widths of the last maps of the backbone, finest first; all of them are joined.
        channels: width of the convolutions; see :class:`JointPyramidUpsampling`.
        dilations: dilations of the branches, likewise.
        coarse_first: order of the maps: True for weights of pytorch-cv and of the paper's
            authors, False for those of mmseg.
        align_corners: convention of the resize: True and False likewise.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        act_cfg: activation, as mmcv builds it. None: ReLU.
        init_cfg: initialization as in mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (512, 1024, 2048),
        channels: int = 512,
        *,
        dilations: Sequence[int] = (1, 2, 4, 8),
        coarse_first: bool = False,
        align_corners: bool = True,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_joined = len(in_channels)
        self.joint = JointPyramidUpsampling(
            in_channels,
            channels,
            dilations=dilations,
            coarse_first=coarse_first,
            align_corners=align_corners,
            norm_cfg=norm_cfg or BATCH_NORM,
            act_cfg=act_cfg or dict(type='ReLU'),
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the backbone, the last one replaced by (N, 4 * channels, h, w)."""
        return (*feats[:-1], self.joint(feats[-self.num_joined :]))


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
