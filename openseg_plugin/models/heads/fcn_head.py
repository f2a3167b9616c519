"""Convolution and classifier: the plain head of HRNet and the auxiliary head of ResNets.

Key names are those of mmseg's FCNHead.

Legend: N batch, K output channels, (h, w) size of the first input map.
"""

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class FCNHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits from one convolution + normalisation + activation, dropout, and a 1x1 convolution.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the convolution.
        kernel_size: 3 in openseg's ``hrnet_w48`` and ``fcnet``, 1 in HRNet-OCR's plain network.
        conv_bias: bias on the convolution: True in openseg and HRNet-OCR, False in mmseg.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int,
        *,
        kernel_size: int = 3,
        conv_bias: bool = False,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, **base)
        conv = conv_norm_act(
            self.in_channels,
            channels,
            kernel_size,
            bias=conv_bias,
            **self.norm_act,
        )
        self.convs = nn.Sequential(conv)

    def pixel_features(self, feats: Sequence[Tensor]) -> Tensor:
        """What the classifier sees, (N, channels, h, w), of the backbone's maps."""
        late = self.joins_after(self.convs[0], feats)
        return self.convolved(self.convs[0], feats, None if late else self._transform_inputs(feats))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        return self.cls_seg(self.pixel_features(inputs))
