"""Object context beside dilated convolutions: the branches of ASPP with context instead of a pool.

Papers: OCNet, arXiv 1809.00916, Sec. 3.3 (ASP-OC); OCR, arXiv 1909.11065 (ASP-OCR). Both join five
maps of equal size: a context, a 1x1 convolution and three dilated 3x3 convolutions.

Legend: N batch, C channels, K regions, (H, W) size of the map in its own pixels.
"""

from collections.abc import Sequence

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.object_context import ObjectAttention, gather_regions
from openseg_plugin.layers.pixel_attention import PixelAttention


class DilatedBranches(nn.Module):
    """Context and dilated convolutions of one map side by side, fused by a 1x1 convolution.

    Args:
        in_channels: C of the map.
        width: channels of the context and of each convolution.
        out_channels: channels of the fused map.
        dilations: of the 3x3 convolutions, in pixels.
        conv_bias: bias on the convolutions.
        norm_cfg: normalisation, as mmcv builds it.
        act_cfg: activation, as mmcv builds it.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        out_channels: int,
        dilations: Sequence[int],
        conv_bias: bool,
        norm_cfg: dict | None,
        act_cfg: dict | None,
    ) -> None:
        super().__init__()
        options = dict(norm_cfg=norm_cfg, act_cfg=act_cfg, bias=conv_bias)
        self.convs = nn.ModuleList([conv_norm_act(in_channels, width, 1, **options)])
        for dilation in dilations:
            self.convs.append(conv_norm_act(in_channels, width, 3, dilation=dilation, **options))
        self.bottleneck = conv_norm_act((2 + len(dilations)) * width, out_channels, 1, **options)

    def forward(self, feats: Tensor, context: Tensor) -> Tensor:
        """(N, out_channels, H, W) of ``feats`` (N, C, H, W) and ``context`` (N, width, H, W)."""
        return self.bottleneck(torch.cat([context, *(conv(feats) for conv in self.convs)], dim=1))


class ASPRegionContext(nn.Module):
    """ASP-OCR: the context of each pixel comes from the object regions.

    Args:
        in_channels: C of the map.
        width: channels of each of the five maps.
        key_channels: width of queries, keys and values of the object attention.
        out_channels: channels of the fused map.
        dilations: of the 3x3 convolutions, in pixels.
        conv_bias: bias on all convolutions.
        norm_cfg: normalisation, as mmcv builds it.
        act_cfg: activation, as mmcv builds it.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 256,
        *,
        key_channels: int = 128,
        out_channels: int,
        dilations: Sequence[int],
        conv_bias: bool,
        norm_cfg: dict | None,
        act_cfg: dict | None,
    ) -> None:
        super().__init__()
        norm_act = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.context_conv = conv_norm_act(in_channels, width, 3, bias=conv_bias, **norm_act)
        self.object_attention = ObjectAttention(
            width, key_channels, conv_bias=conv_bias, **norm_act
        )
        self.branches = DilatedBranches(
            in_channels,
            width,
            out_channels=out_channels,
            dilations=dilations,
            conv_bias=conv_bias,
            **norm_act,
        )

    def forward(self, feats: Tensor, region_scores: Tensor) -> Tensor:
        """(N, out_channels, H, W) of ``feats`` (N, C, H, W) and ``region_scores`` (N, K, H, W)."""
        pixels = self.context_conv(feats)
        context = self.object_attention(pixels, gather_regions(pixels, region_scores))
        return self.branches(feats, context)


class ASPObjectContext(nn.Module):
    """ASP-OC: the context of each pixel comes from all others, on a map pooled to half its size.

    Args:
        in_channels: C of the map.
        width: channels of each of the five maps.
        out_channels: channels of the fused map.
        dilations: of the 3x3 convolutions, in pixels.
        attention: arguments of :class:`PixelAttention` beside ``norm_cfg`` and ``act_cfg``, such
            as ``dict(key_channels=128, value_channels=128, pool_stride=2)``.
        with_context_conv: a 1x1 convolution in front of the normalisation that follows the
            attention, as the copy in the JPU zoo has it; openseg has the normalisation alone.
        conv_bias: bias on the convolutions of the context (the others have none).
        norm_cfg: normalisation, as mmcv builds it.
        act_cfg: activation, as mmcv builds it.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 256,
        *,
        out_channels: int,
        dilations: Sequence[int],
        attention: dict,
        with_context_conv: bool = False,
        conv_bias: bool,
        norm_cfg: dict | None,
        act_cfg: dict | None,
    ) -> None:
        super().__init__()
        norm_act = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.context_conv = conv_norm_act(in_channels, width, 3, bias=conv_bias, **norm_act)
        self.self_attention = PixelAttention(width, conv_bias=conv_bias, **attention, **norm_act)
        if with_context_conv:
            self.context_norm = conv_norm_act(width, width, 1, bias=conv_bias, **norm_act)
        else:
            self.context_norm = nn.Sequential(
                build_norm_layer(norm_cfg, width)[1], build_activation_layer(act_cfg)
            )
        self.branches = DilatedBranches(
            in_channels,
            width,
            out_channels=out_channels,
            dilations=dilations,
            conv_bias=False,
            **norm_act,
        )

    def forward(self, feats: Tensor) -> Tensor:
        """(N, out_channels, H, W) of ``feats`` (N, C, H, W)."""
        context = self.context_norm(self.self_attention(self.context_conv(feats)))
        return self.branches(feats, context)
