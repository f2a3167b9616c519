"""CCNet: context from row and column, applied again to reach every pixel.

Paper: Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", arXiv 1811.11721.
Key names are those of mmseg's CCHead, which needs mmcv's compiled package.

Legend: N batch, K output channels, (h, w) size of the head's input map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.criss_cross_attention import CrissCrossAttention
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class CCHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits from a map beside its criss-cross context.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the context and of the features that are classified.
        recurrence: how often the one attention module is applied: 2 in the paper and in mmseg, so
            that every pixel reaches every other; 1 in pytorch-cv, whose weights need it.
        context_act_cfg: activation of the convolutions around the attention; None: ``act_cfg``.
            PaddleSeg has leaky ReLU there and ReLU before the classifier.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        recurrence: int = 2,
        context_act_cfg: dict | None = None,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, **base)
        self.recurrence = recurrence
        around = dict(self.norm_act, act_cfg=context_act_cfg or self.act_cfg)
        self.convs = nn.Sequential(
            conv_norm_act(self.in_channels, channels, 3, **around),
            conv_norm_act(channels, channels, 3, **around),
        )
        self.cca = CrissCrossAttention(channels)
        self.conv_cat = conv_norm_act(self.in_channels + channels, channels, 3, **self.norm_act)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        x = self._transform_inputs(inputs)
        context = self.convs[0](x)
        for _ in range(self.recurrence):
            context = self.cca(context)
        context = self.convs[1](context)
        return self.cls_seg(self.conv_cat(torch.cat([x, context], dim=1)))
