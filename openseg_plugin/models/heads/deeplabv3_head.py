"""DeepLabv3: dilated convolutions side by side (ASPP), with the mean of the whole image.

Paper: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation",
arXiv 1706.05587, Sec. 3.3. Key names are those of mmseg's ASPPHead.

Legend: N batch, K output channels, (h, w) size of the head's input map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class DeepLabV3Head(DecodeHeadMixin, BaseDecodeHead):
    """Logits from parallel branches with different fields of view.

    ==================  ==============  ==============  ==============
    option              pytorch-cv      mmseg           PaddleSeg
    ==================  ==============  ==============  ==============
    channels            256             512             256
    dilations           1, 12, 24, 36   1, 12, 24, 36   1, 12, 24, 36
    projection_dropout  0.5             None            None
    bottleneck_kernel   3               3               1
    align_corners       True            False           False
    ==================  ==============  ==============  ==============

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of every branch and of the features that are classified.
        dilations: dilation of the 3x3 convolution of each branch; 1 stands for a 1x1 convolution.
            (1, 12, 24, 36) suits output stride 8.
        projection_dropout: None: a 3x3 convolution joins the branches. A number from 0 to 1: as in
            the paper a 1x1 convolution joins them, followed by this dropout, before the 3x3 one.
        bottleneck_kernel: side of the convolution before the classifier.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.
    """

    pools_whole_image = True  # to one value per channel, so that one image is too few

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 256,
        *,
        dilations: Sequence[int] = (1, 12, 24, 36),
        projection_dropout: float | None = None,
        bottleneck_kernel: int = 3,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, **base)
        norm_act = self.norm_act
        pooled = conv_norm_act(self.in_channels, channels, 1, **norm_act)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), pooled)
        self.aspp_modules = ASPPModule(
            dilations, self.in_channels, channels, self.conv_cfg, **norm_act
        )
        width = (len(dilations) + 1) * channels
        self.projection: nn.Module = nn.Identity()
        if projection_dropout is not None:
            project = conv_norm_act(width, channels, 1, **norm_act)
            self.projection = nn.Sequential(project, nn.Dropout(projection_dropout))
            width = channels
        self.bottleneck = conv_norm_act(width, channels, bottleneck_kernel, **norm_act)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        x = self._transform_inputs(inputs)
        # one value per channel: however it is resized, it is the same everywhere
        image = self.image_pool(x).expand(-1, -1, *x.shape[2:])
        branches = torch.cat([image, *self.aspp_modules(x)], dim=1)
        return self.cls_seg(self.bottleneck(self.projection(branches)))
