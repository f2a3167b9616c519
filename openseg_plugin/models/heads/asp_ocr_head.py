"""ASP-OCR: object-contextual representations beside dilated convolutions.

Paper: Yuan, Chen, Wang, arXiv 1909.11065. In openseg.pytorch: ``hrnet_w48_asp_ocr`` (dilations 24,
48, 72 at stride 4) and ``spatial_asp_ocrnet`` (12, 24, 36 on a ResNet at stride 8).

Legend: N batch, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from openseg_plugin.layers.asp_object_context import ASPRegionContext
from openseg_plugin.models.heads.region_head import RegionHead
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class ASPOCRHead(RegionHead):
    """Region (auxiliary) logits and final logits.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the features that the classifier sees.
        asp_channels: width of the context and of each dilated convolution.
        key_channels: width of queries, keys and values of the object attention.
        dilations: of the 3x3 convolutions, in pixels of the head's resolution.
        conv_bias: bias on every convolution in front of a normalization, as in openseg's files.
        dropout_ratio: fraction of channels dropped before the classifier (Dropout2d).
        base: arguments of :class:`RegionHead` (``region`` is one of them, and needed), further
            ones of :class:`DecodeHeadMixin` and of mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 256,
        *,
        asp_channels: int = 256,
        key_channels: int = 128,
        dilations: Sequence[int] = (12, 24, 36),
        conv_bias: bool = False,
        dropout_ratio: float = 0.1,
        **base: Any,
    ) -> None:
        super().__init__(
            in_channels, channels, region_bias=conv_bias, dropout_ratio=dropout_ratio, **base
        )
        self.asp = ASPRegionContext(
            self.in_channels,
            asp_channels,
            key_channels=key_channels,
            out_channels=channels,
            dilations=dilations,
            conv_bias=conv_bias,
            **self.norm_act,
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Region logits and final logits, both (N, K, h, w), of the backbone's maps."""
        x = self._transform_inputs(inputs)
        region_logits = self.region_logits(inputs, x)
        features = self.asp(x, self.region_scores(region_logits, x.shape[2:]))
        return region_logits, self.cls_seg(features)
