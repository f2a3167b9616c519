"""OCR with ground-truth regions: how good could OCR be? An analysis tool.

Paper: Yuan, Chen, Wang, arXiv 1909.11065, Sec. 3.3. The five forms of openseg.pytorch are those of
:mod:`openseg_plugin.layers.oracle_context`. It needs the labels at test time too, so it works in an
``OracleEncoderDecoder`` alone.

Legend: N batch, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.oracle_context import (
    BACKGROUND,
    GT,
    OBJECT,
    PREDICTED,
    OracleContextBlock,
)
from openseg_plugin.models.heads.decode_head import GroundTruthMixin
from openseg_plugin.models.heads.region_head import RegionHead
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class OracleOCRHead(GroundTruthMixin, RegionHead):
    """Region (auxiliary) logits and final logits, the latter from the true regions.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of pixel features and of object-contextual features.
        gather: 'gt' or 'predicted' regions are gathered.
        distribute: the 'gt' or the 'predicted' attention hands them to the pixels.
        contexts: 'object' (the pixel's own region), 'background' (all others) or both.
        key_channels: width of query, key and value.
        conv_bias: bias on every convolution in front of a normalization, as in openseg's files.
        dropout_ratio: fraction of channels dropped before the classifier (Dropout2d).
        base: arguments of :class:`RegionHead` (``region`` is one of them, and needed), further
            ones of :class:`DecodeHeadMixin` and of mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: options that make none of the five forms, or a single output channel.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        gather: str = GT,
        distribute: str = GT,
        contexts: Sequence[str] = (OBJECT,),
        key_channels: int = 256,
        conv_bias: bool = False,
        dropout_ratio: float = 0.05,
        **base: Any,
    ) -> None:
        _require_form(gather, distribute, tuple(contexts))
        super().__init__(
            in_channels, channels, region_bias=conv_bias, dropout_ratio=dropout_ratio, **base
        )
        if self.out_channels == 1:
            raise ConfigError(
                'OracleOCRHead got out_channels=1, but needs a channel per class: leave it out.'
            )
        self.bottleneck = conv_norm_act(
            self.in_channels, channels, 3, bias=conv_bias, **self.norm_act
        )
        self.object_context_block = OracleContextBlock(
            channels,
            key_channels,
            out_channels=channels,
            gather=gather,
            distribute=distribute,
            contexts=contexts,
            conv_bias=conv_bias,
            **self.norm_act,
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Region logits and final logits, both (N, K, h, w), of the backbone's maps."""
        x = self._transform_inputs(inputs)
        region_logits = self.region_logits(inputs, x)
        pixels = self.bottleneck(x)
        block, size = self.object_context_block, pixels.shape[2:]
        gt = self.gt(size, num_regions=self.num_classes + (block.gather == GT))
        regions = block.regions(pixels, self.region_scores(region_logits, size), gt)
        return region_logits, self.cls_seg(block(pixels, regions, gt))


def _require_form(gather: str, distribute: str, contexts: tuple[str, ...]) -> None:
    """Raises ConfigError for options that make none of the five forms."""
    known: set[tuple[str, str, tuple[str, ...]]] = {
        (GT, GT, (OBJECT,)),
        (GT, GT, (BACKGROUND,)),
        (GT, GT, (OBJECT, BACKGROUND)),
    }
    known |= {(GT, PREDICTED, (OBJECT,)), (PREDICTED, GT, (OBJECT,))}
    if (gather, distribute, contexts) not in known:
        raise ConfigError(
            f'OracleOCRHead got gather={gather!r}, distribute={distribute!r}, contexts={contexts}, '
            "but at least one of the first two is 'gt' and the other 'predicted', with contexts "
            "('object',); with both 'gt' contexts may also be ('background',) or "
            "('object', 'background')."
        )
