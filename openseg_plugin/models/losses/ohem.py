"""Cross entropy of the hard pixels only (online hard example mining, OHEM).

Paper: Shrivastava et al., arXiv 1604.03540; for label maps as in openseg.pytorch and
HRNet-Semantic-Segmentation, whose definitions agree: with p the predicted probability of the true
class over the labelled pixels of this process's batch, sorted, the threshold is
``max(thresh, p[min(min_kept, n - 1)])``; pixels with p strictly below it are kept, and the loss is
the plain mean of their (class-weighted) cross entropy.

Deliberately different: where no pixel is kept the loss is 0 instead of NaN.

Legend: N batch, K classes, (H, W) size of the label map in pixels.

Cross entropy of the pixels that the network finds hardest, image by image.

Source: ``BootstrappedCrossEntropyLoss`` of PaddleSeg (idea: Wu, Shen, van den Hengel, arXiv
1605.06885). Deliberately different: an image with ``min_kept`` pixels or fewer keeps all of them
instead of being refused.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from typing import Any

import torch
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.models.losses.cross_entropy import label_weights, pixel_cross_entropy
from openseg_plugin.registry import MODELS

_PADDLESEG_EPS = 1e-5


def hard_pixels(
    probabilities: Tensor,
    counted: Tensor,
    *,
    thresh: float,
    min_kept: int,
    inclusive: bool = False,
    paddleseg: bool = False,
) -> Tensor:
    """Mask of the pixels that the loss keeps.

    Equal to sorting, but sorts (partially) only where ``min_kept`` decides: if more than
    ``min_kept`` probabilities lie below ``thresh``, then ``thresh`` is the threshold.

    Args:
        probabilities: (N, H, W) predicted probability of the true class.
        counted: (N, H, W) bool, the pixels that take part.
        thresh: probability below which a pixel is hard.
        min_kept: rank of the pixel whose probability replaces a lower ``thresh``.
        inclusive: see :class:`OHEMCrossEntropyLoss`.
        paddleseg: see :class:`OHEMCrossEntropyLoss`.

    Returns:
        (N, H, W) bool.
    """
    if paddleseg:
        return _hard_pixels_paddleseg(probabilities, counted, thresh=thresh, min_kept=min_kept)
    if inclusive:
        return _hard_pixels_inclusive(probabilities, counted, thresh=thresh, min_kept=min_kept)
    candidates = counted & (probabilities < thresh)
    number, below = torch.stack([counted.sum(), candidates.sum()]).tolist()
    rank = min(min_kept, number - 1)
    if number == 0 or below > rank:
        return candidates
    threshold = probabilities[counted].kthvalue(rank + 1).values
    return counted & (probabilities < threshold)


def _hard_pixels_inclusive(
    probabilities: Tensor, counted: Tensor, *, thresh: float, min_kept: int
) -> Tensor:
    candidates = counted & (probabilities <= thresh)
    number, below = torch.stack([counted.sum(), candidates.sum()]).tolist()
    if min_kept >= number:
        return counted
    if below >= min_kept:
        return candidates
    threshold = probabilities[counted].kthvalue(min_kept).values
    return counted & (probabilities <= threshold)


def _hard_pixels_paddleseg(
    probabilities: Tensor, counted: Tensor, *, thresh: float, min_kept: int
) -> Tensor:
    number = int(counted.sum())
    if min_kept >= number:
        return counted
    if min_kept > 0:
        thresh = max(thresh, float(probabilities[counted].kthvalue(min_kept).values))
        return counted & (probabilities < thresh)
    return counted  # without a number to keep PaddleSeg mines nothing


def ohem_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    thresh: float = 0.7,
    min_kept: int = 100000,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
    count_first_pixel: bool = True,
    inclusive: bool = False,
    paddleseg: bool = False,
) -> Tensor:
    """Mean cross entropy of the hard pixels, a scalar; 0 where there is none.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        thresh: probability of the true class, 0 to 1, below which a pixel is hard.
        min_kept: pixels of the batch of this process that are kept at least (fewer where
            several have the same probability, as the comparison is strict).
        class_weight: (K,) factors of the loss; the mean is not normalized by them. None: all 1.
        ignore_index: label that takes no part.
        count_first_pixel: openseg counts the very first pixel of the batch even if it is ignored,
            as a pixel of class 0 with loss 0; HRNet-OCR does not.
        inclusive: see :class:`OHEMCrossEntropyLoss`.
        paddleseg: see :class:`OHEMCrossEntropyLoss`.
    """
    valid = labels != ignore_index
    target = labels.where(valid, 0)
    losses = pixel_cross_entropy(logits, target, ignore_index=ignore_index)
    weights = label_weights(labels, class_weight, ignore_index=ignore_index, dtype=losses.dtype)
    if count_first_pixel:
        valid.view(-1)[0] = True
    probabilities = losses.detach().neg().exp()
    kept = hard_pixels(
        probabilities,
        valid,
        thresh=thresh,
        min_kept=min_kept,
        inclusive=inclusive,
        paddleseg=paddleseg,
    )
    total = (losses * weights * kept).sum()
    if paddleseg:  # mean(loss) / (mean(kept) + eps) over all pixels
        return total / (kept.sum().to(total) + _PADDLESEG_EPS * kept.numel())
    return total / kept.sum().clamp(min=1)


@MODELS.register_module()
class OHEMCrossEntropyLoss(ClassWeightedLoss):
    """Cross entropy of hard pixels; see the head of this module.

    Args:
        thresh: probability of the true class, 0 to 1, below which a pixel is hard.
        min_kept: pixels kept at least in the batch of one process (openseg: 2 images of 8).
        count_first_pixel: True as in openseg, False as in HRNet-OCR; they differ only where the
            very first pixel of a batch is ignored.
        inclusive: True as in pytorch-cv: a pixel *at* the threshold is kept, the threshold
            is the ``min_kept``-th smallest probability where that is larger than ``thresh``, and
            all pixels are kept where there are no more than ``min_kept``. Use it with
            ``count_first_pixel=False`` and, as there, a sixteenth of the batch's pixels as
            ``min_kept``.
        paddleseg: True as in PaddleSeg: the threshold is the ``min_kept``-th smallest probability
            where that is larger than ``thresh``, all pixels are kept where there are no more than
            ``min_kept`` or ``min_kept`` is 0, and 1e-5 of all pixels are added to the divisor. Use
            it with ``count_first_pixel=False``.
        loss_name: key in the log; must begin with "loss" to be minimized.
        base: ``class_weight`` and ``loss_weight``, see :class:`ClassWeightedLoss`.
    """

    def __init__(
        self,
        thresh: float = 0.7,
        min_kept: int = 100000,
        *,
        count_first_pixel: bool = True,
        inclusive: bool = False,
        paddleseg: bool = False,
        loss_name: str = 'loss_ohem',
        **base: Any,
    ) -> None:
        if inclusive and paddleseg:
            raise ConfigError(
                'OHEMCrossEntropyLoss got inclusive=True and paddleseg=True, the rules of two '
                'projects: give one of them'
            )
        super().__init__(loss_name=loss_name, **base)
        self.thresh = thresh
        self.min_kept = min_kept
        self.count_first_pixel = count_first_pixel
        self.inclusive = inclusive
        self.paddleseg = paddleseg

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return ohem_cross_entropy(
            logits,
            labels,
            thresh=self.thresh,
            min_kept=self.min_kept,
            count_first_pixel=self.count_first_pixel,
            inclusive=self.inclusive,
            paddleseg=self.paddleseg,
            **options,
        )


def bootstrapped_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    min_kept: int = 100000,
    thresh: float = 0.05,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Mean over the images of the mean loss of their hardest pixels, a scalar.

    Ignored pixels count as pixels of loss 0: they are kept where an image has too few others.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        min_kept: pixels of an image that are kept at least.
        thresh: loss above which every pixel is kept, if those are more than ``min_kept``.
        class_weight: (K,) factors of the loss; the mean is not normalized by them. None: all 1.
        ignore_index: label that takes no part.
    """
    losses = pixel_cross_entropy(logits, labels, ignore_index=ignore_index)
    if class_weight is not None:
        losses = losses * label_weights(
            labels, class_weight, ignore_index=ignore_index, dtype=losses.dtype
        )
    return torch.stack([_hardest(one, min_kept, thresh) for one in losses.flatten(1)]).mean()


def _hardest(losses: Tensor, min_kept: int, thresh: float) -> Tensor:
    """Mean of the largest of the losses (P,) of one image."""
    above = losses > thresh
    number = above.sum()
    if number > min_kept:  # the next after min_kept is above the threshold, too
        return (losses * above).sum() / number
    return losses.topk(min(min_kept, len(losses)), sorted=False).values.mean()


@MODELS.register_module()
class BootstrappedCrossEntropyLoss(ClassWeightedLoss):
    """Cross entropy of the hardest pixels of each image; see the head of this module.

    Args:
        min_kept: pixels of an image that are kept at least (PaddleSeg's ``min_K``).
        thresh: loss above which every pixel is kept (``loss_th``).
        loss_name: key in the log; must begin with "loss" to be minimized.
        base: ``class_weight`` and ``loss_weight``, see :class:`ClassWeightedLoss`.
    """

    def __init__(
        self,
        min_kept: int = 100000,
        thresh: float = 0.05,
        *,
        loss_name: str = 'loss_bootstrapped',
        **base: Any,
    ) -> None:
        super().__init__(loss_name=loss_name, **base)
        self.min_kept = min_kept
        self.thresh = thresh

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return bootstrapped_cross_entropy(
            logits, labels, min_kept=self.min_kept, thresh=self.thresh, **options
        )
