"""OCR: object-contextual representations, with the soft object regions from the same head.

Paper: Yuan, Chen, Wang, arXiv 1909.11065. Variants, by options:

================  ==================  ===============  ===============================
option            openseg.pytorch     HRNet-OCR        mmseg
================  ==================  ===============  ===============================
region kernel     3                   1                1 (HRNet), 3 (ResNet)
conv_bias         'all'               'input'          'none'
dropout_ratio     0.05                0.05             0 (HRNet), 0.1 (ResNet)
align_corners     True                True             False
act_cfg           ReLU; LeakyReLU     ReLU             ReLU
                  0.01 for weights
                  trained with
                  in-place ABN
================  ==================  ===============  ===============================

mmseg makes the regions with a second head that it runs twice per training iteration, which also
moves its running statistics twice; here one pass gives both outputs, as in the original code.

Legend: N batch, C channels, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.object_context import ObjectContextBlock, gather_regions
from openseg_plugin.models.heads.region_head import RegionHead
from openseg_plugin.registry import MODELS

CONV_BIAS = ('none', 'input', 'all')


@MODELS.register_module()
class OCRHead(RegionHead):
    """Region (auxiliary) logits and final logits.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of pixel features and of object-contextual features.
        key_channels: width of query, key and value.
        conv_bias: which convolutions before a normalization have a bias: 'all', 'input' (the
            region convolution and the 3x3 ``bottleneck``) or 'none'.
        dropout_ratio: fraction of channels dropped before the classifier (Dropout2d).
        base: arguments of :class:`RegionHead` (``region`` is one of them, and needed), further
            ones of :class:`DecodeHeadMixin` and of mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: unknown ``conv_bias``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        key_channels: int = 256,
        conv_bias: str = 'none',
        dropout_ratio: float = 0.05,
        **base: Any,
    ) -> None:
        if conv_bias not in CONV_BIAS:
            raise ConfigError(f'OCRHead got conv_bias={conv_bias!r}, but knows {CONV_BIAS}.')
        has_input_bias = conv_bias != 'none'
        super().__init__(
            in_channels, channels, region_bias=has_input_bias, dropout_ratio=dropout_ratio, **base
        )
        self.bottleneck = conv_norm_act(
            self.in_channels, channels, 3, bias=has_input_bias, **self.norm_act
        )
        self.object_context_block = ObjectContextBlock(
            channels, key_channels, conv_bias=conv_bias == 'all', **self.norm_act
        )

    def object_contextual_features(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Region logits and features (N, channels, h, w) of the backbone's maps.

        The region logits (N, K, h, w) have the size of the map they are made from; for the gather
        they are resized where the pixel features have another size.
        """
        region_logits, pixels, regions = self._pixels_and_regions(feats)
        return region_logits, self.object_context_block(pixels, regions)

    def _pixels_and_regions(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Region logits, pixel features (N, channels, h, w), regions (N, channels, K)."""
        late = [self.joins_after(one, feats) for one in (self.region_conv, self.bottleneck)]
        x = None if all(late) else self._transform_inputs(feats)
        region_logits = self.region_logits(feats, x)
        if late[1]:
            x = None  # the largest map; in prediction nobody else holds it
        pixels = self.convolved(self.bottleneck, feats, x)
        del x
        regions = gather_regions(pixels, self.region_scores(region_logits, pixels.shape[2:]))
        return region_logits, pixels, regions

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Region logits and final logits, both (N, K, h, w), of the backbone's maps."""
        region_logits, pixels, regions = self._pixels_and_regions(inputs)
        block = self.object_context_block
        if not block.joins_late:
            return region_logits, self.cls_seg(block(pixels, regions))
        classifier = [layer for layer in (self.dropout, self.conv_seg) if layer is not None]
        return region_logits, block.followed_by(classifier, pixels, regions)
