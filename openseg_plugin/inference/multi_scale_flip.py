"""Test-time augmentation of any segmentor: scales from the pipeline, flipped views made here.

Every view is predicted, added to one running sum and forgotten. Classes that name a side ("left
arm") change places in a flipped view; one-channel models are merged as probabilities, once.

Merging the views of one image as they come: one running sum, never all views.

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

K classes, h, w size of the scores, H, W size of the original image.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.tiled_argmax import (
    OutputGeometry,
    RowTiledResize,
    fast_argmax,
    resize_to_input,
)
from openseg_plugin.models.lazy_pixel_data import LazyPixelData
from openseg_plugin.models.segmentors.encoder_decoder import geometry_of
from openseg_plugin.registry import MODELS

RULES = ('softmax', 'logits', 'exp')
View = tuple[Tensor, OutputGeometry]


def _probabilities(scores: Tensor) -> Tensor:
    return scores.sigmoid() if len(scores) == 1 else scores.softmax(0)


def _exponentials(scores: Tensor) -> Tensor:
    return scores.sigmoid() if len(scores) == 1 else scores.exp()


def _unchanged(scores: Tensor) -> Tensor:
    return scores


class ViewAccumulator:
    """Sum over the views of one image.

    Args:
        rule: 'softmax', 'logits' or 'exp'.
        align_corners: convention of the resizes.
    """

    def __init__(self, rule: str, *, align_corners: bool) -> None:
        self.rule = rule
        self.align_corners = align_corners
        self._total: Tensor | None = None  # (K, H, W) float32
        self.terms = 0

    @property
    def total(self) -> Tensor:
        """Sum of the views so far, (K, H, W) float32."""
        assert self._total is not None, 'a view is added first'
        return self._total

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
        if self._total is None:
            scores, geometry = views[0]
            self._total = scores.new_zeros((scores.shape[1], *geometry.final_size))
        self.terms += 1
        plans = [
            RowTiledResize.plan(scores, geometry, align_corners=self.align_corners)
            for scores, geometry in views
        ]
        strips = [plan for plan in plans if plan is not None]
        if len(strips) < len(plans):
            self._add_whole(views, inside=inside, outside=outside)
            return
        last = strips[0].to_output
        for start, stop in strips[0].ranges(len(self.total)):
            first, end = last.needed(start, stop)
            parts = [
                plan.image_rows(scores[0], first, end) for plan, (scores, _) in zip(strips, views)
            ]
            part = last.apply(inside(_mean(parts)), start=start, stop=stop, offset=first)
            self.total[:, start:stop] += outside(part)

    def _add_whole(self, views: Sequence[View], *, inside: Callable, outside: Callable) -> None:
        parts = [
            resize_to_input(scores, geometry, align_corners=self.align_corners)[0]
            for scores, geometry in views
        ]
        size = views[0][1].final_size
        part = inside(_mean(parts))[None]
        part = resize_bilinear(part, size, align_corners=self.align_corners)[0]
        self.total.add_(outside(part))

    def labels(self, *, threshold: float = 0.5) -> Tensor:
        """Classes (H, W) int64 of the merged views.

        Args:
            threshold: probability above which a one-channel model says class 1.
        """
        if len(self.total) == 1:
            mean = self.total[0] / self.terms
            mean = mean.sigmoid() if self.rule == 'logits' else mean
            return (mean > threshold).long()
        if self.rule == 'softmax':  # as mmseg: a mean can tie where the sum does not
            self.total.div_(self.terms)
            self.terms = 1
        rows = max(1, 2**22 // self.total[:, 0].numel())
        return torch.cat([fast_argmax(part) for part in self.total.split(rows, dim=1)])

    def log_probabilities(self) -> Tensor:
        """Logarithm of the merged views' probabilities (K, H, W): their logits, up to a constant.

        Of one-channel models the logit (1, H, W) of the merged probability.
        """
        if self.rule == 'logits':
            merged = self.total / self.terms
            return merged if len(merged) == 1 else merged.log_softmax(0)
        if len(self.total) == 1:
            return (self.total / self.terms).logit()
        return (self.total / self.total.sum(0)).log()


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """Mean of one or two tensors, with HRNet-OCR's roundings: their sum, times a half."""
    if len(parts) == 1:
        return parts[0]
    return (parts[0] + parts[1]) * 0.5


@MODELS.register_module()
class MultiScaleFlip(BaseTTAModel):
    """Predicts an image from all its views.

    Expects the pipeline ``MultiScaleViews`` + ``PackMultiScaleInputs``; with ``flip=False`` also
    mmseg's ``TestTimeAug``, whose views may be flipped already.

    Args:
        module: the segmentor or its config. mmseg's segmentors work too.
        merge: 'softmax', 'logits' or 'exp', see :mod:`openseg_plugin.inference.multi_scale_flip`.
        flip: also predict every view flipped left to right.
        size_divisor: pad every view at the right and the bottom to a multiple of it; predictions
            are cut back. None: as the module's data preprocessor says.
        data_preprocessor: of a ``module`` whose config names none.

    Raises:
        ConfigError: unknown ``merge``.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        *,
        merge: str = 'softmax',
        flip: bool = True,
        size_divisor: int | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(with_preprocessor(module, data_preprocessor))
        if merge not in RULES:
            raise ConfigError(f"tta_model.merge is '{merge}': choose from {', '.join(RULES)}")
        pad_views(self.module, size_divisor)
        self.merge = merge
        self.flip = flip

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Merged predictions of a batch.

        Args:
            data: ``inputs[scale][image]`` (3, h, w) and ``data_samples`` in the same order.

        Returns:
            The first scale's samples with ``pred_sem_seg`` (1, H, W) int64 and ``seg_logits``
            (K, H, W), the logarithm of the merged probabilities, computed when it is read.
        """
        images = zip(zip(*data['inputs']), zip(*data['data_samples']))
        return [self._predict(views, samples) for views, samples in images]

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: views are merged as they come."""
        raise NotImplementedError('MultiScaleFlip merges inside test_step')

    def _predict(
        self, images: tuple[Tensor, ...], samples: tuple[SegDataSample, ...]
    ) -> SegDataSample:
        merged = ViewAccumulator(self.merge, align_corners=self.module.align_corners)
        for image, sample in zip(images, samples):
            merged.add(self._views(image, sample.metainfo))
        labels = merged.labels(threshold=threshold_of(self.module))
        result = samples[0].to(labels.device)
        result.set_data(
            {
                'pred_sem_seg': PixelData(data=labels[None]),
                'seg_logits': LazyPixelData(merged.log_probabilities),
            }
        )
        return result

    def _views(self, image: Tensor, metainfo: dict) -> Iterator[View]:
        """The views of one scale, each predicted when it is asked for."""
        if metainfo.get('flip') and self.flip:
            raise ConfigError(
                'the tta_pipeline flips the images already: use '
                'openseg_plugin.MultiScaleViews there, or tta_model.flip=False'
            )
        flip = metainfo.get('flip_direction', 'horizontal') if metainfo.get('flip') else None
        yield self._view(image, metainfo, flip)
        if self.flip:
            yield self._view(image.flip(-1), metainfo, 'horizontal')

    def _view(self, image: Tensor, metainfo: dict, flip: str | None) -> View:
        """Scores (1, K, h, w) of one view and where they belong on the original image."""
        sample = SegDataSample(
            metainfo={**metainfo, 'flip': flip is not None, 'flip_direction': flip}
        )
        data = self.module.data_preprocessor({'inputs': [image], 'data_samples': [sample]}, False)
        inputs, metainfo = data['inputs'], data['data_samples'][0].metainfo
        if hasattr(self.module, 'scores'):
            scores = self.module.scores(inputs)
        else:  # a segmentor of mmseg
            scores = self.module.inference(inputs, [dict(metainfo)])
        if flip == 'horizontal':
            scores = swapped(scores, metainfo.get('flip_pairs') or ())
        return scores, geometry_of(metainfo, inputs.shape[2:])


def with_preprocessor(module: dict | nn.Module, default: dict | None) -> dict | nn.Module:
    """The module, with ``default`` as its data preprocessor where its config names none.

    mmengine's runner hands the config's top-level ``data_preprocessor`` to the outermost model,
    and its ``BaseTTAModel`` would put it in place of the segmentor's own: another mean, another
    channel order, no padding.
    """
    if not isinstance(module, dict) or default is None or module.get('data_preprocessor'):
        return module
    return {**module, 'data_preprocessor': default}


def pad_views(segmentor: Any, size_divisor: int | None) -> None:
    """Lets the segmentor's data preprocessor pad test images to a multiple; None: as it is."""
    if size_divisor is not None:
        segmentor.data_preprocessor.test_cfg = {'size_divisor': size_divisor}


def swapped(scores: Tensor, pairs: Sequence[Sequence[int]]) -> Tensor:
    """Scores (N, K, h, w) with the two classes of every pair exchanged."""
    if not pairs or scores.shape[1] == 1:
        return scores
    order = list(range(scores.shape[1]))
    for left, right in pairs:
        order[left], order[right] = order[right], order[left]
    return scores[:, torch.tensor(order, device=scores.device)]


def threshold_of(segmentor: Any) -> float:
    """Probability above which the last decode head of a one-channel model says class 1.

    0.5 where it does not say, as those of several classes.
    """
    head: Any = segmentor.decode_head
    last: Any = head[-1] if isinstance(head, nn.ModuleList) else head
    threshold = getattr(last, 'threshold', None)
    return 0.5 if threshold is None else threshold
