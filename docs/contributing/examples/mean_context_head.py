"""Mean context: every pixel is classified from its own features and the mean of the map.

Legend: N batch, C channels, K output channels, (h, w) size of the head's input map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


def append_mean(features: Tensor) -> Tensor:
    """Features (N, C, h, w) and their mean over the map, as (N, 2C, h, w)."""
    mean = features.mean(dim=(2, 3), keepdim=True)
    return torch.cat([features, mean.expand_as(features)], dim=1)


@MODELS.register_module()
class MeanContextHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits from each pixel's features and the mean of all of them.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the features that are classified.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.
    """

    def __init__(self, in_channels: int | Sequence[int], channels: int = 256, **base: Any) -> None:
        super().__init__(in_channels, channels, **base)
        self.bottleneck = conv_norm_act(2 * self.in_channels, channels, 3, **self.norm_act)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        x = self._transform_inputs(inputs)
        return self.cls_seg(self.bottleneck(append_mean(x)))
