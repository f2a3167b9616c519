"""Convolution and classifier: the plain head of HRNet and the auxiliary head of ResNets.

Key names are those of mmseg's FCNHead.

Legend: N batch, K output channels, (h, w) size of the first input map.
"""

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class FCNHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits from one convolution + normalization + activation, dropout, and a 1x1 convolution.

    With ``num_convs=0`` from dropout and the 1x1 convolution alone.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the convolution; without one ``in_channels``.
        num_convs: 1, or 0 as in the auxiliary branch of PaddleSeg's DANet.
        kernel_size: 3 in openseg's ``hrnet_w48`` and ``fcnet``, 1 in HRNet-OCR's plain network.
        conv_bias: bias on the convolution: True in openseg and HRNet-OCR, False in mmseg.
        concat_input: False, as mmseg's auxiliary heads say; it need not be given. (mmseg's True
            adds a convolution on the input and the features together.)
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: ``concat_input``, another ``num_convs``, or none with other ``channels`` than
            the maps have.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int,
        *,
        num_convs: int = 1,
        kernel_size: int = 3,
        conv_bias: bool = False,
        concat_input: bool = False,
        **base: Any,
    ) -> None:
        if concat_input:
            raise ConfigError(
                'FCNHead got concat_input=True, but has no convolution on input and features '
                "together: leave it out, or use type='mmseg.FCNHead'"
            )
        super().__init__(in_channels, channels, **base)
        if num_convs not in (0, 1) or (num_convs == 0 and channels != self.in_channels):
            raise ConfigError(
                f'FCNHead got num_convs={num_convs}, in_channels={self.in_channels} and '
                f'channels={channels}: it has one convolution, or none and then as many channels '
                'as its input'
            )
        if num_convs == 0:
            self.convs = nn.Sequential()
            return
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
        if len(self.convs) == 1 and self.joins_after(self.convs[0], feats):
            return self.convolved(self.convs[0], feats, None)
        return self.convs(self._transform_inputs(feats))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        return self.cls_seg(self.pixel_features(inputs))
