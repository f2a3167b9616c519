"""Edge branch and decoder of CE2P, a human parsing network.

Paper: Ruan et al., "Devil in the Details: Towards Accurate Single and Multiple Human Parsing",
arXiv 1809.05996, Sec. 3.2. Widths as in openseg.pytorch.

Legend: N batch, C channels, (H, W) size of the first (finest) map in its own pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.resize import concat_at_first, resize_bilinear


class EdgeBranch(nn.Module):
    """Edge logits (N, 2, H, W) and edge features (N, 3 * channels, H, W) of three maps.

    Args:
        in_channels: widths of the maps.
        channels: width of the features of each of them.
        align_corners: convention of the bilinear resizes.
        norm_act: ``norm_cfg`` and ``act_cfg`` of :func:`~openseg_plugin.layers.conv.conv_norm_act`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        *,
        align_corners: bool,
        **norm_act: Any,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.convs = nn.ModuleList(
            conv_norm_act(width, channels, 1, **norm_act) for width in in_channels
        )
        self.score = nn.Conv2d(channels, 2, 3, padding=1)  # shared by the maps
        self.fuse = nn.Conv2d(2 * len(in_channels), 2, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """See the class; ``maps``: (N, C_i, H_i, W_i), the finest first."""
        feats = [conv(x) for conv, x in zip(self.convs, maps)]
        scores = [self.score(x) for x in feats]
        edges = self.fuse(concat_at_first(scores, align_corners=self.align_corners))
        return edges, concat_at_first(feats, align_corners=self.align_corners)


class DetailDecoder(nn.Module):
    """Features (N, channels, H, W) of a context at low resolution and the finest map.

    Args:
        context_channels: width of the context.
        detail_channels: width of the finest map.
        channels: width of the output.
        narrow_channels: width to which the finest map is reduced.
        align_corners: convention of the bilinear resize.
        norm_act: ``norm_cfg`` and ``act_cfg`` of :func:`~openseg_plugin.layers.conv.conv_norm_act`.
    """

    def __init__(
        self,
        context_channels: int,
        detail_channels: int,
        *,
        channels: int = 256,
        narrow_channels: int = 48,
        align_corners: bool,
        **norm_act: Any,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.context_conv = conv_norm_act(context_channels, channels, 1, **norm_act)
        self.detail_conv = conv_norm_act(detail_channels, narrow_channels, 1, **norm_act)
        self.fuse = nn.Sequential(
            conv_norm_act(channels + narrow_channels, channels, 1, **norm_act),
            conv_norm_act(channels, channels, 1, **norm_act),
        )

    def forward(self, context: Tensor, details: Tensor) -> Tensor:
        """See the class; ``context`` (N, C, h, w), ``details`` (N, C, H, W)."""
        context = resize_bilinear(
            self.context_conv(context), details.shape[2:], align_corners=self.align_corners
        )
        return self.fuse(torch.cat([context, self.detail_conv(details)], dim=1))
