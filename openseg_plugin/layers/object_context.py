"""Object-contextual representations: describe every class region, let each pixel attend to them.

Paper: Yuan, Chen, Wang, "Object-Contextual Representations for Semantic Segmentation",
arXiv 1909.11065, equations 2 to 5. Key names are those of mmseg's OCRHead. Deliberately different
from it: no transposed copies of image-sized maps, and the output projection is applied to the K
region values instead of to P pixels where that is the same function (see ObjectAttention).

Legend: N batch, C channels, D value channels, K regions (one per class), (H, W) size of the feature
map in its own pixels, P = H * W.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.memory import chunked


def gather_regions(feats: Tensor, region_logits: Tensor) -> Tensor:
    """One feature vector per region: the mean of the pixels, weighted by a softmax over pixels.

    Args:
        feats: (N, C, H, W) pixel features.
        region_logits: (N, K, H, W) scores of each pixel for each region.

    Returns:
        (N, C, K).
    """
    weights_NKP = region_logits.flatten(2).softmax(dim=2)
    # In this order the product is fastest: (K, P) times (P, C), and only K * C numbers to transpose
    return torch.matmul(weights_NKP, feats.flatten(2).transpose(1, 2)).transpose(1, 2).contiguous()


def object_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """For each pixel the mean of the region values, weighted by likeness of pixel and region.

    The weights are a softmax over regions of the scaled dot product, so they sum to one at each
    pixel.

    Args:
        query: (N, C, H, W) projected pixel features.
        key: (N, C, K) projected regions.
        value: (N, D, K) what a region hands to its pixels.

    Returns:
        (N, D, H, W) in the memory format of ``query``.
    """
    key = key * query.shape[1] ** -0.5
    size = query.shape[2:]
    if query.is_contiguous():
        weights_NKP = torch.matmul(key.transpose(1, 2), query.flatten(2)).softmax(dim=1)
        return torch.matmul(value, weights_NKP).unflatten(2, size)
    # channels last: pixels are rows already
    weights_NPK = torch.matmul(query.flatten(2).transpose(1, 2), key).softmax(dim=2)
    context_NHWD = torch.matmul(weights_NPK, value.transpose(1, 2)).unflatten(1, size)
    return context_NHWD.permute(0, 3, 1, 2)


class RegionAttention(nn.Module):
    """Projections and attention from pixels to regions; base of the blocks that use them.

    While training, the output projection follows the attention, as published. With normalization
    in evaluation mode the projection is an affine map of each pixel's vector, and as the attention
    weights sum to one it may act on the K values before they are mixed: the same function, without
    a 1x1 convolution at every pixel.

    Args:
        channels: C of features and result.
        key_channels: width of query, key and value (half of C in the paper).
        conv_bias: bias on the convolutions, as in openseg's files.
        norm_cfg: normalization, as mmcv builds it.
        act_cfg: activation, as mmcv builds it.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        norm_cfg: dict | None,
        act_cfg: dict | None,
        conv_bias: bool = False,
    ) -> None:
        super().__init__()
        project = self.project = partial(
            conv_norm_act, kernel_size=1, norm_cfg=norm_cfg, act_cfg=act_cfg, bias=conv_bias
        )
        self.query_project = nn.Sequential(
            project(channels, key_channels), project(key_channels, key_channels)
        )
        self.key_project = nn.Sequential(
            project(channels, key_channels), project(key_channels, key_channels)
        )
        self.value_project = project(channels, key_channels)
        self.out_project = project(key_channels, channels)

    def attend(self, feats: Tensor, regions: Tensor) -> Tensor:
        """Context (N, C, H, W) of ``feats`` (N, C, H, W) from ``regions`` (N, C, K)."""
        return self._context(feats, *self._objects(regions))

    def _objects(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value of each region."""
        regions_NCK1 = regions.unsqueeze(3)
        key, value_NDK1 = self.key_project(regions_NCK1), self.value_project(regions_NCK1)
        if _is_affine(self.out_project):
            value_NDK1 = self.out_project(value_NDK1, activate=False)
        return key.squeeze(3), value_NDK1.squeeze(3)

    def _context(self, feats: Tensor, key: Tensor, value: Tensor) -> Tensor:
        context = object_attention(self.query_project(feats), key, value)
        if not _is_affine(self.out_project):
            return self.out_project(context)
        return self.out_project.activate(context) if self.out_project.with_activation else context


class ObjectAttention(RegionAttention):
    """Context of each pixel: the regions that it resembles, as a map of the features' shape.

    Args: as :class:`RegionAttention`.
    """

    def forward(self, feats: Tensor, regions: Tensor) -> Tensor:
        """See :meth:`attend`."""
        return self.attend(feats, regions)


class ObjectContextBlock(RegionAttention):
    """Pixel features enriched by their object context: 1x1 conv on [context, features].

    Args: as :class:`RegionAttention`.
    """

    def __init__(self, channels: int, key_channels: int, **options: Any) -> None:
        super().__init__(channels, key_channels, **options)
        self.bottleneck = self.project(2 * channels, channels)

    # whether a prediction may leave the joined map out: the same sums, with other roundings; see
    # openseg_plugin.models.prepared
    joins_late = False

    def forward(self, feats: Tensor, regions: Tensor) -> Tensor:
        """Object-contextual features (N, C, H, W) of ``feats`` and ``regions`` (N, C, K)."""
        return self.followed_by((), feats, regions)

    def followed_by(self, layers: Sequence[nn.Module], feats: Tensor, regions: Tensor) -> Tensor:
        """What ``layers``, such as a classifier, make of the features.

        Where they treat each pixel by itself a prediction runs them part by part, and never holds
        the features of the whole map.
        """
        objects = self._objects(regions)

        def enriched(part: Tensor) -> Tensor:
            context = self._context(part, *objects)
            if torch.is_grad_enabled() or self._joins_late():
                part = self._bottleneck_of(context, part)
            else:
                part = self.bottleneck(torch.cat([context, part], dim=1))
            for layer in layers:
                part = layer(part)
            return part

        # at once this would be the largest of all that a prediction keeps
        own = [self.query_project, self.out_project, self.bottleneck]
        return chunked(enriched, feats, [*own, *layers])

    def _joins_late(self) -> bool:
        norm = self.bottleneck.norm
        is_folded = norm is None or isinstance(norm, nn.Identity)
        return self.joins_late and is_folded and not torch.is_grad_enabled()

    def _bottleneck_of(self, context: Tensor, part: Tensor) -> Tensor:
        """The bottleneck of both maps side by side, without putting them there.

        In training the joined map would be kept for the gradient, beside the two.
        """
        conv = self.bottleneck.conv
        weights = conv.weight.split([context.shape[1], part.shape[1]], dim=1)
        if torch.is_grad_enabled():
            total = F.conv2d(context, weights[0], conv.bias)
            total += F.conv2d(part, weights[1])
        else:
            total = _weighted(context, weights[0], part, weights[1], conv.bias)
        if self.bottleneck.norm is not None:
            total = self.bottleneck.norm(total)
        return self.bottleneck.activate(total) if self.bottleneck.with_activation else total


def _weighted(
    one: Tensor, weights: Tensor, other: Tensor, further_weights: Tensor, bias: Tensor | None
) -> Tensor:
    """Sum of two 1x1 convolutions, of which the second adds to what the first has written."""
    rows, further_rows = (x.permute(0, 2, 3, 1).flatten(0, 2) for x in (one, other))
    total = F.linear(rows, weights.flatten(1), bias)
    total.addmm_(further_rows, further_weights.flatten(1).T)
    number, _, height, width = one.shape
    return total.view(number, height, width, -1).permute(0, 3, 1, 2)


def _is_affine(module: ConvModule) -> bool:
    """Whether convolution and normalization map each pixel by itself, by one affine function."""
    norm = module.norm
    if isinstance(norm, _BatchNorm):
        return not norm.training and norm.track_running_stats
    return norm is None or isinstance(norm, nn.Identity)
