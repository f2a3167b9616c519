"""What heads share that score object regions: OCR, ASP-OCR, CE2P and their ideal forms.

Legend: N batch, C channels, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.memory import chunked
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin, build_losses, init_classifiers

REGION_LOSS = dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4)


class RegionHead(DecodeHeadMixin, BaseDecodeHead):
    """Head with a branch that scores the regions (the auxiliary output).

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the features that the classifier sees.
        region: the branch that scores the regions, a dict with

            - channels: width of its convolution,
            - kernel_size: 1 (default) or 3,
            - dropout_ratio: fraction of channels dropped before its classifier (default 0),
            - in_index, in_channels: which of the backbone's maps it reads and how wide that is;
              left out: it reads what the head reads.
        region_bias: bias on the branch's convolution.
        loss_region: loss on the region logits, or a list of losses. None: cross entropy with
            weight 0.4 (Sec. 4.2 of the OCR paper), without class weights.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: unknown ``region`` entry, or no width.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int,
        *,
        region: dict | None = None,
        region_bias: bool,
        loss_region: dict | Sequence[dict] | None = None,
        **base: Any,
    ) -> None:
        base.setdefault('init_cfg', init_classifiers('conv_seg', 'region_seg'))
        super().__init__(in_channels, channels, **base)
        self._build_region(region, bias=region_bias)
        self.loss_region = build_losses(loss_region or REGION_LOSS)

    def _build_region(self, region: dict[str, Any] | None, *, bias: bool) -> None:
        if region is None:
            raise ConfigError(
                f'{type(self).__name__} makes its regions itself, where mmseg has a second head: '
                "give region=dict(channels=...) with that head's width, and one decode_head in "
                "a model of type='openseg_plugin.EncoderDecoder'"
            )
        known = {'channels', 'kernel_size', 'dropout_ratio', 'in_index', 'in_channels'}
        if 'channels' not in region or not known.issuperset(region):
            raise ConfigError(
                f'{type(self).__name__} got region={dict(region)}, but needs "channels" and knows '
                f'{sorted(known)}.'
            )
        self.region_in_index = region.get('in_index')
        own_width: int = self.in_channels
        self.region_conv = conv_norm_act(
            region.get('in_channels', own_width),
            region['channels'],
            region.get('kernel_size', 1),
            bias=bias,
            **self.norm_act,
        )
        self.region_dropout = nn.Dropout2d(region.get('dropout_ratio', 0.0))
        self.region_seg = nn.Conv2d(region['channels'], self.out_channels, 1)

    def region_logits(self, feats: Sequence[Tensor], x: Tensor | None) -> Tensor:
        """Scores (N, K, h, w) of the regions, at the size of the map that they are made from.

        Args:
            feats: the backbone's maps.
            x: what the head reads of them; None where the region branch joins them itself.
        """
        if self.region_in_index is None and self.joins_after(self.region_conv, feats):
            part = self.convolved(self.region_conv, feats, None)
            return self.region_seg(self.region_dropout(part))
        source = x if self.region_in_index is None else feats[self.region_in_index]
        assert source is not None, 'the branch reads the joined map'
        branch = (self.region_conv, self.region_dropout, self.region_seg)

        def scores(part: Tensor) -> Tensor:
            for layer in branch:
                part = layer(part)
            return part

        return chunked(scores, source, branch)

    def region_scores(self, region_logits: Tensor, size: Sequence[int]) -> Tensor:
        """Region logits for the gather at ``size``; two regions for a binary model."""
        if self.out_channels == 1:  # regions of class 0 and class 1
            region_logits = torch.cat([-region_logits, region_logits], dim=1)
        return resize_bilinear(region_logits, size, align_corners=self.align_corners)

    def loss_terms(self, outputs: Sequence[Tensor]) -> Iterable[tuple[str, Tensor, nn.Module]]:
        """The region logits count under ``region.<loss_name>``."""
        region_logits, logits = outputs
        return [('region.', region_logits, self.loss_region), ('', logits, self.loss_decode)]
