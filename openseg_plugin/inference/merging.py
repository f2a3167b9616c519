"""Merging the views of one picture as they come: one running sum, never all views.

======== ============================================================ =====================
rule     per view or per scale                                        source
======== ============================================================ =====================
softmax  mean of the views' softmax at the original size              mmsegmentation
logits   sum of the views' logits at the original size                openseg.pytorch
exp      mean of the two directions' logits at the view's own size,   HRNet-OCR
         exp, resized to the original size, summed over scales
======== ============================================================ =====================

They differ in their results and belong to the published numbers of their source. One-channel
(binary) models: mean probability (softmax, exp) or probability of the mean logit (logits).

K classes, h, w size of the scores, H, W size of the original picture.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.tiled_argmax import (
    Geometry,
    Strips,
    first_highest,
    on_picture,
)

RULES = ('softmax', 'logits', 'exp')
View = tuple[Tensor, Geometry]


def _probabilities(scores: Tensor) -> Tensor:
    return scores.sigmoid() if len(scores) == 1 else scores.softmax(0)


def _exponentials(scores: Tensor) -> Tensor:
    return scores.sigmoid() if len(scores) == 1 else scores.exp()


def _unchanged(scores: Tensor) -> Tensor:
    return scores


class RunningMerge:
    """Sum over the views of one picture.

    Args:
        rule: 'softmax', 'logits' or 'exp'.
        align_corners: convention of the resizes.
    """

    def __init__(self, rule: str, *, align_corners: bool) -> None:
        self.rule = rule
        self.align_corners = align_corners
        self.total: Tensor | None = None  # (K, H, W) float32
        self.terms = 0

    def add(self, views: Iterable[View]) -> None:
        """Add the views of one scale: scores (1, K, h, w) and where they belong, per direction.

        A generator is best: the rules other than 'exp' need one view at a time.
        """
        if self.rule == 'exp':
            self._add(list(views), inside=_exponentials, outside=_unchanged)
            return
        outside = _probabilities if self.rule == 'softmax' else _unchanged
        for view in views:
            self._add([view], inside=_unchanged, outside=outside)

    def _add(self, views: Sequence[View], *, inside: Callable, outside: Callable) -> None:
        """total += outside(resize(inside(mean of the views at their own size)))."""
        views = [(scores.float().contiguous(), geometry) for scores, geometry in views]
        if self.total is None:
            scores, geometry = views[0]
            self.total = scores.new_zeros((scores.shape[1], *geometry.final_size))
        self.terms += 1
        strips = [
            Strips.plan(scores, geometry, align_corners=self.align_corners)
            for scores, geometry in views
        ]
        if any(plan is None for plan in strips):
            self._add_whole(views, inside=inside, outside=outside)
            return
        last = strips[0].to_output
        for start, stop in strips[0].ranges(len(self.total)):
            first, end = last.needed(start, stop)
            parts = [
                plan.picture_rows(scores[0], first, end) for plan, (scores, _) in zip(strips, views)
            ]
            part = last.apply(inside(_mean(parts)), start=start, stop=stop, offset=first)
            self.total[:, start:stop] += outside(part)

    def _add_whole(self, views: Sequence[View], *, inside: Callable, outside: Callable) -> None:
        parts = [
            on_picture(scores, geometry, align_corners=self.align_corners)[0]
            for scores, geometry in views
        ]
        size = views[0][1].final_size
        part = inside(_mean(parts))[None]
        part = resize_bilinear(part, size, align_corners=self.align_corners)[0]
        self.total += outside(part)

    def labels(self, *, threshold: float | None = None) -> Tensor:
        """Classes (H, W) int64 of the merged views.

        Args:
            threshold: probability above which a one-channel model says class 1.
        """
        if len(self.total) == 1:
            mean = self.total[0] / self.terms
            mean = mean.sigmoid() if self.rule == 'logits' else mean
            return (mean > threshold).long()
        if self.rule == 'softmax':  # as mmseg: a mean can tie where the sum does not
            self.total /= self.terms
            self.terms = 1
        rows = max(1, 2**22 // self.total[:, 0].numel())
        return torch.cat([first_highest(part) for part in self.total.split(rows, dim=1)])


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """Mean of one or two tensors, with HRNet-OCR's roundings: their sum, times a half."""
    if len(parts) == 1:
        return parts[0]
    return (parts[0] + parts[1]) * 0.5
