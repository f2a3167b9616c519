"""Cross entropy of the pixels that the network finds hardest, picture by picture.

Source: ``BootstrappedCrossEntropyLoss`` of PaddleSeg (idea: Wu, Shen, van den Hengel, arXiv
1605.06885). Deliberately different: a picture with ``min_kept`` pixels or fewer keeps all of them
instead of being refused.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from typing import Any

import torch
from torch import Tensor

from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.models.losses.cross_entropy import label_weights, pixel_cross_entropy
from openseg_plugin.registry import MODELS


def bootstrapped_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    min_kept: int = 100000,
    thresh: float = 0.05,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Mean over the pictures of the mean loss of their hardest pixels, a scalar.

    Ignored pixels count as pixels of loss 0: they are kept where a picture has too few others.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        min_kept: pixels of a picture that are kept at least.
        thresh: loss above which every pixel is kept, if those are more than ``min_kept``.
        class_weight: (K,) factors of the loss; the mean is not normalised by them. None: all 1.
        ignore_index: label that takes no part.
    """
    losses = pixel_cross_entropy(logits, labels, ignore_index=ignore_index)
    if class_weight is not None:
        losses = losses * label_weights(
            labels, class_weight, ignore_index=ignore_index, dtype=losses.dtype
        )
    return torch.stack([_hardest(one, min_kept, thresh) for one in losses.flatten(1)]).mean()


def _hardest(losses: Tensor, min_kept: int, thresh: float) -> Tensor:
    """Mean of the largest of the losses (P,) of one picture."""
    above = losses > thresh
    number = above.sum()
    if number > min_kept:  # the next after min_kept is above the threshold, too
        return (losses * above).sum() / number
    return losses.topk(min(min_kept, len(losses)), sorted=False).values.mean()


@MODELS.register_module()
class BootstrappedCrossEntropyLoss(ClassWeightedLoss):
    """Cross entropy of the hardest pixels of each picture; see the head of this module.

    Args:
        min_kept: pixels of a picture that are kept at least (PaddleSeg's ``min_K``).
        thresh: loss above which every pixel is kept (``loss_th``).
        loss_name: key in the log; must begin with "loss" to be minimised.
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
