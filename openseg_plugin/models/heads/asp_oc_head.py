"""ASP-OC: object context by pooled attention, beside dilated convolutions (OCNet).

Paper: Yuan et al., arXiv 1809.00916, Sec. 3.3. The auxiliary head is a separate ``FCNHead``.

=================  =============================  =========================================
option             openseg                        its copy in pytorch-cv
=================  =============================  =========================================
with_in_conv       True                           False
asp_channels       256                            512
attention          key 128, value 128, pool 2     key 256, value 512, pool 2, key_convs=1,
                                                  is_key_shared=True
with_context_conv  False                          True
=================  =============================  =========================================

Legend: N batch, C channels, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.layers.asp_object_context import ASPObjectContext
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS

ATTENTION = dict(key_channels=128, value_channels=128, pool_stride=2)


@MODELS.register_module()
class ASPOCHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits of a 3x3 convolution and the five branches of ASP-OC.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the first convolution and of the features that the classifier sees.
        asp_channels: width of each branch.
        attention: arguments of :class:`PixelAttention` other than widths of input and output and
            the normalization; None: openseg's.
        dilations: of the 3x3 convolutions, in pixels of the head's resolution.
        with_in_conv: whether there is a first convolution.
        with_context_conv: a 1x1 convolution behind the attention.
        conv_bias: bias on the first convolution and those of the context, as in openseg's files.
        dropout_ratio: fraction of channels dropped before the classifier (Dropout2d).
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        asp_channels: int = 256,
        attention: dict | None = None,
        dilations: Sequence[int] = (12, 24, 36),
        with_in_conv: bool = True,
        with_context_conv: bool = False,
        conv_bias: bool = False,
        dropout_ratio: float = 0.1,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, dropout_ratio=dropout_ratio, **base)
        self.in_conv = nn.Identity()
        if with_in_conv:
            self.in_conv = conv_norm_act(
                self.in_channels, channels, 3, bias=conv_bias, **self.norm_act
            )
        self.asp = ASPObjectContext(
            channels if with_in_conv else self.in_channels,
            asp_channels,
            out_channels=channels,
            dilations=dilations,
            attention=dict(attention or ATTENTION, align_corners=self.align_corners),
            with_context_conv=with_context_conv,
            conv_bias=conv_bias,
            **self.norm_act,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        return self.cls_seg(self.asp(self.in_conv(self._transform_inputs(inputs))))
