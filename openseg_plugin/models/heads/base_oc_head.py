"""Base-OC: object context by attention between all pixels (OCNet).

Paper: Yuan et al., arXiv 1809.00916, Sec. 3.2. The auxiliary head is a separate ``FCNHead``.

Legend: N batch, C channels, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.pixel_attention import PixelAttention
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS

ATTENTION = dict(key_channels=256, value_channels=256)


@MODELS.register_module()
class BaseOCHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits of a 3x3 convolution, attention, and a 1x1 convolution on [context, features].

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: C.
        attention: arguments of :class:`PixelAttention` other than widths of input and output and
            the normalization; None: queries, keys and values of 256 channels. openseg pools with
            ``pool_stride=2`` where its option ``scale`` is 2.
        conv_bias: bias on the convolutions in front of a normalization, as in openseg's files.
        dropout_ratio: fraction of channels dropped before the classifier (Dropout2d).
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        attention: dict | None = None,
        conv_bias: bool = False,
        dropout_ratio: float = 0.05,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, dropout_ratio=dropout_ratio, **base)
        options = dict(bias=conv_bias, **self.norm_act)
        self.in_conv = conv_norm_act(self.in_channels, channels, 3, **options)
        self.self_attention = PixelAttention(
            channels,
            conv_bias=conv_bias,
            align_corners=self.align_corners,
            **(attention or ATTENTION),
            **self.norm_act,
        )
        self.bottleneck = conv_norm_act(2 * channels, channels, 1, **options)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        feats = self.in_conv(self._transform_inputs(inputs))
        joined = torch.cat([self.self_attention(feats), feats], dim=1)
        return self.cls_seg(self.bottleneck(joined))
