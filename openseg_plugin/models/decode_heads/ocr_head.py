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

mmseg makes the regions with a second head that it runs twice per training step, which also moves
its running statistics twice; here one pass gives both outputs, as in the original code.

Legend: N batch, C channels, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.object_context import ObjectContextBlock, gather_regions
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.decode_heads.decode_head import (
    BATCH_NORM,
    DecodeHeadMixin,
    build_losses,
)
from openseg_plugin.registry import MODELS

CONV_BIAS = ('none', 'input', 'all')
REGION_LOSS = dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4)


@MODELS.register_module()
class OCRHead(DecodeHeadMixin, BaseDecodeHead):
    """Region (auxiliary) logits and final logits.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of pixel features and of object-contextual features.
        region: the branch that scores the regions, a dict with

            - channels: width of its convolution,
            - kernel_size: 1 (default) or 3,
            - dropout_ratio: share of channels dropped before its classifier (default 0),
            - in_index, in_channels: which of the backbone's maps it reads and how wide that is;
              left out: it reads what the head reads.
        key_channels: width of query, key and value.
        conv_bias: which convolutions before a normalisation have a bias: 'all', 'input' (the
            region convolution and the 3x3 ``bottleneck``) or 'none'.
        loss_region: loss on the region logits, or a list of losses. None: cross entropy with
            weight 0.4 (Sec. 4.2 of the paper), without class weights.
        dropout_ratio: share of channels dropped before the classifier (Dropout2d).
        align_corners: convention of every bilinear resize.
        norm_cfg: normalisation, as mmcv builds it. None: BatchNorm.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``
            (``num_classes``, ``out_channels``, ``act_cfg``, ``loss_decode``, ...).

    Raises:
        ConfigError: unknown ``conv_bias`` or ``region`` entry.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        region: dict,
        key_channels: int = 256,
        conv_bias: str = 'none',
        loss_region: dict | Sequence[dict] | None = None,
        dropout_ratio: float = 0.05,
        align_corners: bool = True,
        norm_cfg: dict | None = None,
        **base: Any,
    ) -> None:
        base.setdefault('init_cfg', _init_classifiers())
        super().__init__(
            in_channels,
            channels,
            dropout_ratio=dropout_ratio,
            align_corners=align_corners,
            norm_cfg=norm_cfg or BATCH_NORM,
            **base,
        )
        if conv_bias not in CONV_BIAS:
            raise ConfigError(f'OCRHead got conv_bias={conv_bias!r}, but knows {CONV_BIAS}.')
        norm_act = dict(norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        input_bias = conv_bias != 'none'
        self._build_region(region, bias=input_bias, **norm_act)
        self.bottleneck = conv_norm_act(self.in_channels, channels, 3, bias=input_bias, **norm_act)
        self.object_context_block = ObjectContextBlock(
            channels, key_channels, conv_bias=conv_bias == 'all', **norm_act
        )
        self.loss_region = build_losses(loss_region or REGION_LOSS)

    def _build_region(self, region: dict, *, bias: bool, norm_cfg: dict, act_cfg: dict) -> None:
        known = {'channels', 'kernel_size', 'dropout_ratio', 'in_index', 'in_channels'}
        if 'channels' not in region or not known.issuperset(region):
            raise ConfigError(
                f'OCRHead got region={dict(region)}, but needs "channels" and knows '
                f'{sorted(known)}.'
            )
        self.region_in_index = region.get('in_index')
        self.region_conv = conv_norm_act(
            region.get('in_channels', self.in_channels),
            region['channels'],
            region.get('kernel_size', 1),
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            bias=bias,
        )
        self.region_dropout = nn.Dropout2d(region.get('dropout_ratio', 0.0))
        self.region_seg = nn.Conv2d(region['channels'], self.out_channels, 1)

    def object_contextual_features(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Region logits and features (N, channels, h, w) of the backbone's maps.

        The region logits (N, K, h, w) have the size of the map they are made from; for the gather
        they are resized where the pixel features have another size.
        """
        x = self._transform_inputs(feats)
        source = x if self.region_in_index is None else feats[self.region_in_index]
        region_logits = self.region_seg(self.region_dropout(self.region_conv(source)))
        pixels = self.bottleneck(x)
        scores = region_logits
        if self.out_channels == 1:  # regions of class 0 and class 1
            scores = torch.cat([-region_logits, region_logits], dim=1)
        scores = resize_bilinear(scores, pixels.shape[2:], align_corners=self.align_corners)
        return region_logits, self.object_context_block(pixels, gather_regions(pixels, scores))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Region logits and final logits, both (N, K, h, w), of the backbone's maps."""
        region_logits, features = self.object_contextual_features(inputs)
        return region_logits, self.cls_seg(features)

    def loss_terms(self, outputs: tuple[Tensor, Tensor]) -> Iterable[tuple[str, Tensor, nn.Module]]:
        """The region logits count under ``region.<loss_name>``."""
        region_logits, logits = outputs
        return [('region.', region_logits, self.loss_region), ('', logits, self.loss_decode)]


def _init_classifiers() -> dict:
    names = [dict(name='conv_seg'), dict(name='region_seg')]
    return dict(type='Normal', std=0.01, override=names)
