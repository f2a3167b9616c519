"""Object context beside dilated convolutions: the branches of ASPP with context instead of a pool.

Papers: OCNet, arXiv 1809.00916, Sec. 3.3 (ASP-OC); OCR, arXiv 1909.11065 (ASP-OCR). Both join five
maps of equal size: a context, a 1x1 convolution and three dilated 3x3 convolutions.

Legend: N batch, C channels, K regions, (H, W) size of the map in its own pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.object_context import ObjectAttention, gather_regions
from openseg_plugin.layers.pixel_attention import PixelAttention


def dilated_convs(
    in_channels: int, width: int, dilations: Sequence[int], **options: Any
) -> nn.ModuleList:
    """A 1x1 convolution and one dilated 3x3 convolution per entry of ``dilations``.

    Args:
        in_channels: channels in.
        width: channels out, of each.
        dilations: in pixels of the map.
        options: further arguments of :func:`~openseg_plugin.layers.conv.conv_norm_act`.
    """
    kernels = [(1, 1), *((3, dilation) for dilation in dilations)]
    return nn.ModuleList(
        conv_norm_act(in_channels, width, size, dilation=dilation, **options)
        for size, dilation in kernels
    )


class DilatedBranches(nn.Module):
    """Context and dilated convolutions of one map side by side, fused by a 1x1 convolution.

    Args:
        in_channels: C of the map.
        width: channels of the context and of each convolution.
        out_channels: channels of the fused map.
        dilations: of the 3x3 convolutions, in pixels.
        options: further arguments of :func:`~openseg_plugin.layers.conv.conv_norm_act`.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        out_channels: int,
        dilations: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__()
        self.convs = dilated_convs(in_channels, width, dilations, **options)
        self.bottleneck = conv_norm_act((2 + len(dilations)) * width, out_channels, 1, **options)

    def forward(self, feats: Tensor, context: Tensor) -> Tensor:
        """(N, out_channels, H, W) of ``feats`` (N, C, H, W) and ``context`` (N, width, H, W)."""
        return self.bottleneck(torch.cat([context, *(conv(feats) for conv in self.convs)], dim=1))


class ContextBesideBranches(nn.Module):
    """What ASP-OCR and ASP-OC share: a 3x3 convolution for the context, and the branches.

    Args:
        in_channels: C of the map.
        width: channels of each of the five maps.
        conv_bias: bias on the convolutions of the context.
        branch_bias: bias on the others.
        norm_cfg: normalization, as mmcv builds it.
        act_cfg: activation, as mmcv builds it.
        branches: further arguments of :class:`DilatedBranches`: ``out_channels``, ``dilations``.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        conv_bias: bool,
        branch_bias: bool,
        norm_cfg: dict | None,
        act_cfg: dict | None,
        **branches: Any,
    ) -> None:
        super().__init__()
        norm_act: dict[str, Any] = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.context_options = dict(norm_act, conv_bias=conv_bias)
        self.context_conv = conv_norm_act(in_channels, width, 3, bias=conv_bias, **norm_act)
        self.branches = DilatedBranches(
            in_channels, width, bias=branch_bias, **branches, **norm_act
        )


class ASPRegionContext(ContextBesideBranches):
    """ASP-OCR: the context of each pixel comes from the object regions.

    Args:
        in_channels: C of the map.
        width: channels of each of the five maps.
        key_channels: width of queries, keys and values of the object attention.
        conv_bias: bias on all convolutions.
        options: further arguments of :class:`ContextBesideBranches`.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 256,
        *,
        key_channels: int = 128,
        conv_bias: bool,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, width, conv_bias=conv_bias, branch_bias=conv_bias, **options)
        self.object_attention = ObjectAttention(width, key_channels, **self.context_options)

    def forward(self, feats: Tensor, region_scores: Tensor) -> Tensor:
        """(N, out_channels, H, W) of ``feats`` (N, C, H, W) and ``region_scores`` (N, K, H, W)."""
        pixels = self.context_conv(feats)
        context = self.object_attention(pixels, gather_regions(pixels, region_scores))
        return self.branches(feats, context)


class ASPObjectContext(ContextBesideBranches):
    """ASP-OC: the context of each pixel comes from all others, on a map pooled to half its size.

    Args:
        in_channels: C of the map.
        width: channels of each of the five maps.
        attention: arguments of :class:`PixelAttention` beside ``norm_cfg`` and ``act_cfg``, such
            as ``dict(key_channels=128, value_channels=128, pool_stride=2)``.
        with_context_conv: a 1x1 convolution in front of the normalization that follows the
            attention, as the copy in pytorch-cv has it; openseg has the normalization alone.
        options: further arguments of :class:`ContextBesideBranches` but ``branch_bias``: the
            branches have no bias.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 256,
        *,
        attention: dict,
        with_context_conv: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, width, branch_bias=False, **options)
        self.self_attention = PixelAttention(width, **attention, **self.context_options)
        norm_cfg, act_cfg = (self.context_options[name] for name in ('norm_cfg', 'act_cfg'))
        if with_context_conv:
            bias = self.context_options['conv_bias']
            self.context_norm = conv_norm_act(
                width, width, 1, bias=bias, norm_cfg=norm_cfg, act_cfg=act_cfg
            )
        else:
            self.context_norm = nn.Sequential(
                build_norm_layer(norm_cfg, width)[1], build_activation_layer(act_cfg)
            )

    def forward(self, feats: Tensor) -> Tensor:
        """(N, out_channels, H, W) of ``feats`` (N, C, H, W)."""
        context = self.context_norm(self.self_attention(self.context_conv(feats)))
        return self.branches(feats, context)
