"""Object context from the true regions instead of predicted ones: an upper bound for OCR.

Paper: Yuan, Chen, Wang, arXiv 1909.11065, Sec. 3.3 (GT-OCR). Gathering and distributing can each
use the gt; the five combinations of openseg.pytorch are

=========================  =========  ==========  ============================
openseg's name             gather     distribute  contexts
=========================  =========  ==========  ============================
ideal_spatial_ocrnet       gt         gt          object
ideal_spatial_ocrnet_b     gt         gt          object, background
ideal_spatial_ocrnet_c     gt         gt          background
ideal_gather_ocrnet        gt         predicted   object
ideal_distribute_ocrnet    predicted  gt          object
=========================  =========  ==========  ============================

Where the regions are gathered by the gt, ignored pixels are a region of their own, the last.
Where only distribution uses the gt there is no such region, and ignored pixels get the last
class, as in openseg's code.

Legend: N batch, C channels, D value channels, K classes, R regions (K or K + 1), (H, W) size of the
feature map in its own pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.layers.object_context import RegionAttention, gather_regions

GT = 'gt'
PREDICTED = 'predicted'
OBJECT = 'object'
BACKGROUND = 'background'


def gt_regions(
    labels: Tensor, num_regions: int, *, size: Sequence[int], ignore_index: int
) -> Tensor:
    """1 where a pixel belongs to a region, else 0: (N, R, H, W) float32.

    Args:
        labels: (N, h, w) int64 class ids or ``ignore_index``, at any resolution.
        num_regions: R; ignored pixels belong to the last one.
        size: (H, W); pixel i of the result is pixel floor(i * h / H) of the labels.
        ignore_index: label of pixels without a class.
    """
    labels = labels.masked_fill(labels == ignore_index, num_regions - 1)
    labels = F.interpolate(labels[:, None].double(), tuple(size), mode='nearest')[:, 0].long()
    return F.one_hot(labels, num_regions).permute(0, 3, 1, 2).float()


def gather_gt_regions(feats: Tensor, regions: Tensor) -> Tensor:
    """Mean of the features (N, C, H, W) over each of the regions (N, R, H, W): (N, C, R).

    Zero for a region without pixels.
    """
    weights = F.normalize(regions.to(feats).flatten(2), p=1, dim=2)
    return torch.matmul(feats.flatten(2), weights.transpose(1, 2))


def distribute_gt(value: Tensor, regions: Tensor, *, context: str = OBJECT) -> Tensor:
    """Each pixel's context: the value of its region, or the mean of those of all others.

    Args:
        value: (N, D, R) what a region hands to its pixels.
        regions: (N, R, H, W) of zeros and ones.
        context: 'object' or 'background'.

    Returns:
        (N, D, H, W).
    """
    weights = regions if context == OBJECT else 1 - regions
    weights = F.normalize(weights.to(value), p=1, dim=1)
    return torch.matmul(value, weights.flatten(2)).unflatten(2, regions.shape[2:])


class OracleContextBlock(RegionAttention):
    """Pixel features enriched by context from the true regions.

    Queries and keys exist where the gt distributes, too, for the sake of the files, but have no
    effect there and are not trained.

    Args:
        channels: C of features and context.
        key_channels: width of query, key and value.
        out_channels: width of the result.
        gather: 'gt' or 'predicted'.
        distribute: 'gt' or 'predicted'.
        contexts: 'object', 'background' or both; joined in this order, then the features.
        options: further arguments of :class:`RegionAttention`.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        out_channels: int,
        gather: str,
        distribute: str,
        contexts: Sequence[str],
        **options: Any,
    ) -> None:
        super().__init__(channels, key_channels, **options)
        self.gather, self.distribute, self.contexts = gather, distribute, tuple(contexts)
        self.bottleneck = self.project((1 + len(self.contexts)) * channels, out_channels)
        if distribute == GT:
            for projection in (self.query_project, self.key_project):
                projection.requires_grad_(False)

    def regions(self, feats: Tensor, scores: Tensor, gt: Tensor | None) -> Tensor:
        """Region vectors (N, C, R) by the gt (N, R, H, W) or by scores (N, K, H, W)."""
        if self.gather == GT:
            assert gt is not None, 'regions of the gt are gathered'
            return gather_gt_regions(feats, gt)
        return gather_regions(feats, scores)

    def forward(self, feats: Tensor, regions: Tensor, gt: Tensor | None) -> Tensor:
        """Features (N, out_channels, H, W).

        Args:
            feats: (N, C, H, W).
            regions: (N, C, R) region vectors.
            gt: (N, R, H, W), see :func:`gt_regions`; None where nothing uses it.
        """
        if self.distribute == PREDICTED:
            contexts = [self.attend(feats, regions)]
        else:
            assert gt is not None, 'the gt distributes'
            value = self.value_project(regions.unsqueeze(3)).squeeze(3)
            contexts = [
                self.out_project(distribute_gt(value, gt, context=context))
                for context in self.contexts
            ]
        return self.bottleneck(torch.cat([*contexts, feats], dim=1))
