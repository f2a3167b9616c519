"""CE2P with object context: human parsing with an edge branch and a detail decoder.

Paper: Ruan et al., arXiv 1809.05996, where a pyramid pooling gives the context; openseg.pytorch has
three variants with object context on a ResNet at output stride 16:

=================  ============================  =============================================
context            openseg's name                what it is
=================  ============================  =============================================
'asp_ocr'          ``ce2p_asp_ocrnet``           ASP-OCR, dilations 6, 12, 18
'ocr'              ``ce2p_ocrnet``               OCR on the last map itself, no 3x3 in front
'oracle'           ``ce2p_ideal_ocrnet``         the same with ground-truth regions
=================  ============================  =============================================

openseg's loss of these networks is in no public version. The weights here are a choice: 1 for both
parsings and the edges, 0.4 for the regions as in its other networks.

Legend: N batch, K output channels, (H, W) size of the first map, (h, w) of the last one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.asp_object_context import ASPRegionContext
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.edge_branch import DetailDecoder, EdgeBranch
from openseg_plugin.layers.oracle_context import GT, OBJECT, PREDICTED, OracleContextBlock
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.heads.decode_head import (
    CROSS_ENTROPY,
    GroundTruthMixin,
    build_losses,
    init_classifiers,
)
from openseg_plugin.models.heads.region_head import RegionHead
from openseg_plugin.registry import MODELS

CONTEXTS = ('asp_ocr', 'ocr', 'oracle')
EDGE_LOSS = dict(type='openseg_plugin.EdgeLoss')


@MODELS.register_module()
class CE2PHead(GroundTruthMixin, RegionHead):
    """Logits of the decoder, of the edges, of the regions, and the final logits.

    Args:
        in_channels: widths of four maps of the backbone, finest first.
        channels: width of the decoder's features and of the final ones.
        context: 'asp_ocr', 'ocr' or 'oracle'; the last needs an ``OracleEncoderDecoder``.
        context_channels: width of the context.
        asp_channels: width of each branch of ASP-OCR.
        key_channels: width of queries, keys and values of the object attention.
        dilations: of ASP-OCR's 3x3 convolutions, in pixels of the last map.
        edge_channels: width of the edge features of each of the three finest maps.
        narrow_channels: width to which the decoder reduces the finest map.
        conv_bias: bias on the convolutions of the context, as in openseg's files; the others
            have none.
        loss_decoder: loss on the decoder's logits. None: as ``loss_decode``.
        loss_edge: loss on the edge logits against the labels. None: :class:`EdgeLoss`.
        dropout_ratio: fraction of channels dropped behind ASP-OCR and behind the decoder.
        in_index: which four of the backbone's maps.
        base: arguments of :class:`RegionHead` (``region`` is one of them, and needed), further
            ones of :class:`DecodeHeadMixin` and of mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: unknown ``context``, or not four maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        *,
        context: str = 'asp_ocr',
        context_channels: int = 512,
        asp_channels: int = 256,
        key_channels: int = 128,
        dilations: Sequence[int] = (6, 12, 18),
        edge_channels: int = 256,
        narrow_channels: int = 48,
        conv_bias: bool = False,
        loss_decoder: dict | Sequence[dict] | None = None,
        loss_edge: dict | None = None,
        dropout_ratio: float = 0.1,
        in_index: Sequence[int] = (0, 1, 2, 3),
        **base: Any,
    ) -> None:
        has_four = not isinstance(in_channels, int) and len(in_channels) == len(in_index) == 4
        if context not in CONTEXTS or not has_four:
            raise ConfigError(
                f'CE2PHead got context={context!r} and in_channels={in_channels}, but knows the '
                f'contexts {CONTEXTS} and needs the widths of four maps.'
            )
        base.setdefault('init_cfg', init_classifiers('conv_seg', 'region_seg', 'decoder_conv_seg'))
        super().__init__(
            in_channels[-1],
            channels,
            region_bias=False,
            dropout_ratio=dropout_ratio,
            in_index=in_index[-1],
            **base,
        )
        self.map_index = tuple(in_index)
        self.context = context
        self.context_block = self._context_block(
            asp_channels=asp_channels,
            key_channels=key_channels,
            out_channels=context_channels,
            dilations=dilations,
            conv_bias=conv_bias,
            **self.norm_act,
        )
        self._build_decoder(
            in_channels, context=context_channels, edge=edge_channels, narrow=narrow_channels
        )
        self.loss_decoder = build_losses(loss_decoder or base.get('loss_decode') or CROSS_ENTROPY)
        self.loss_edge = build_losses(loss_edge or EDGE_LOSS)

    def _build_decoder(
        self, in_channels: Sequence[int], *, context: int, edge: int, narrow: int
    ) -> None:
        """Edge branch, decoder and what joins them; widths as the arguments of the class."""
        options = dict(align_corners=self.align_corners, **self.norm_act)
        self.edge_branch = EdgeBranch(in_channels[:3], edge, **options)
        self.decoder = DetailDecoder(
            context, in_channels[0], channels=self.channels, narrow_channels=narrow, **options
        )
        self.decoder_conv_seg = nn.Conv2d(self.channels, self.out_channels, 1)
        self.bottleneck = conv_norm_act(
            self.channels + 3 * edge,
            self.channels,
            1,
            **self.norm_act,
        )

    def _context_block(
        self, *, asp_channels: int, key_channels: int, dilations: Sequence[int], **options: Any
    ) -> nn.Module:
        """The module that makes the context from the last map."""
        if self.context == 'asp_ocr':
            return ASPRegionContext(
                self.in_channels,
                asp_channels,
                key_channels=key_channels,
                dilations=dilations,
                **options,
            )
        is_oracle = self.context == 'oracle'
        return OracleContextBlock(
            self.in_channels,
            key_channels,
            gather=GT if is_oracle else PREDICTED,
            distribute=GT if is_oracle else PREDICTED,
            contexts=(OBJECT,),
            **options,
        )

    def context_of(self, x: Tensor, region_logits: Tensor) -> Tensor:
        """Context (N, context_channels, h, w) of the last map ``x`` (N, C, h, w)."""
        size = x.shape[2:]
        scores = self.region_scores(region_logits, size)
        if not isinstance(self.context_block, OracleContextBlock):
            return self._drop(self.context_block(x, scores))
        gt = None
        if self.context == 'oracle':
            gt = self.gt(size, num_regions=self.num_classes + 1)
        regions = self.context_block.regions(x, scores, gt)
        return self.context_block(x, regions, gt)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(decoder, edge, region, final) logits of the backbone's maps.

        Decoder, edge (2 channels) and final logits have the size of the first of the four.
        """
        x = self._transform_inputs(inputs)
        region_logits = self.region_logits(inputs, x)
        fine = [inputs[index] for index in self.map_index[:3]]
        edge_logits, edge_feats = self.edge_branch(fine)
        feats = self._drop(self.decoder(self.context_of(x, region_logits), fine[0]))
        logits = self.conv_seg(self.bottleneck(torch.cat([feats, edge_feats], dim=1)))
        return self.decoder_conv_seg(feats), edge_logits, region_logits, logits

    def _drop(self, feats: Tensor) -> Tensor:
        return feats if self.dropout is None else self.dropout(feats)

    def loss_terms(self, outputs: Sequence[Tensor]) -> Iterable[tuple[str, Tensor, nn.Module]]:
        """Decoder and region logits count under ``decoder.`` and ``region.``."""
        decoder_logits, _, region_logits, logits = outputs
        return [
            ('decoder.', decoder_logits, self.loss_decoder),
            ('region.', region_logits, self.loss_region),
            ('', logits, self.loss_decode),
        ]

    def loss_by_feat(
        self,
        seg_logits: tuple[Tensor, Tensor, Tensor, Tensor],
        batch_data_samples: Sequence[SegDataSample],
    ) -> dict[str, Tensor]:
        """As :class:`DecodeHeadMixin`, and ``edge.loss_edge`` against the edges of the labels."""
        losses = super().loss_by_feat(seg_logits, batch_data_samples)
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        edges = resize_bilinear(seg_logits[1], labels.shape[1:], align_corners=self.align_corners)
        losses[f'edge.{self.loss_edge.loss_name}'] = self.loss_edge(
            edges, labels, ignore_index=self.ignore_index
        )
        return losses
