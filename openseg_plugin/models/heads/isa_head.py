"""ISA: interlaced sparse attention, with one or several window sizes.

Paper: Huang, Yuan et al., arXiv 1907.12273. Variants, by options:

=================  ===============  ===============
option             openseg          mmseg, Paddle
=================  ===============  ===============
is_context_first   False            True
value_bias         False            True
dropout_ratio      0.05             0.1
align_corners      True             False
=================  ===============  ===============

The auxiliary head is a separate ``FCNHead``.

Legend: N batch, C channels, K output channels, (h, w) size of the head's output.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.interlaced_attention import InterlacedAttention
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class ISAHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits of a 3x3 convolution, interlaced attention and a 1x1 convolution on both.

    With n windows there are n attentions side by side on the same features, and a 1x1 convolution
    ``up_conv`` widens the features to n * channels before they meet the n contexts.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: C.
        key_channels: width of queries and keys.
        windows: (rows, columns) in pixels of the head's resolution, one per attention; the paper's
            partition factors. Not told by the weights.
        value_bias: bias on the convolutions of the values.
        is_context_first: order of the last convolution's input, [context, features] if True.
        dropout_ratio: fraction of channels dropped before the classifier (Dropout2d).
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: ``windows`` is no list of pairs of positive numbers.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        key_channels: int = 256,
        windows: Sequence[Sequence[int]] = ((8, 8),),
        value_bias: bool = False,
        is_context_first: bool = False,
        dropout_ratio: float = 0.05,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, dropout_ratio=dropout_ratio, **base)
        _require_windows(windows)
        self.is_context_first = is_context_first
        norm_act = self.norm_act
        width = channels * len(windows)
        self.in_conv = conv_norm_act(self.in_channels, channels, 3, **norm_act)
        self.relations = nn.ModuleList(
            InterlacedAttention(
                channels, key_channels, window=window, value_bias=value_bias, **norm_act
            )
            for window in windows
        )
        if len(windows) > 1:
            self.up_conv = conv_norm_act(channels, width, 1, **norm_act)
        else:
            self.up_conv = nn.Identity()
        self.out_conv = conv_norm_act(2 * width, channels, 1, **norm_act)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        feats = self.in_conv(self._transform_inputs(inputs))
        contexts = [relation(feats) for relation in self.relations]
        widened = [self.up_conv(feats)]
        parts = contexts + widened if self.is_context_first else widened + contexts
        return self.cls_seg(self.out_conv(torch.cat(parts, dim=1)))


def _require_windows(windows: Sequence[Sequence[int]]) -> None:
    """Raises ConfigError unless these are pairs of positive whole numbers."""
    pairs = [tuple(window) for window in windows if not isinstance(window, int)]
    fine = all(len(p) == 2 and all(isinstance(n, int) and n > 0 for n in p) for p in pairs)
    if not pairs or len(pairs) != len(windows) or not fine:
        raise ConfigError(
            f'ISAHead got windows={windows}, but needs one pair (rows, columns) of positive whole '
            'numbers per attention, such as ((8, 8),).'
        )
