"""Dice loss over all classes, image by image, as in PaddleSeg (2024-10-18).

Deliberately different: PaddleSeg's overwrites ignored labels with class 0 for whoever reads them
next, and its config lets seven further losses read them. Here labels stay as they are.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from typing import Any

from torch import Tensor

from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.models.losses.overlap import soft_overlap
from openseg_plugin.registry import MODELS

_TINY = 1e-8


def dice_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    smooth: float = 1.0,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """1 - (2 * sum(p * y) + smooth) / (sum(p) + sum(y) + smooth), a scalar, 0 to 1.

    Sums are over the labelled pixels of one image and class, with p the softmax probability;
    the mean is over images and classes, times the class weights.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        smooth: see above; 0 leaves absent classes at 1.
        class_weight: (K,) factors; the mean is not normalised by them. None: all 1.
        ignore_index: label that takes no part.
    """
    both, predicted, true = soft_overlap(logits, labels, ignore_index=ignore_index)
    losses_K = (1 - (2 * both + smooth) / (predicted + true + smooth + _TINY)).mean(0)
    if class_weight is not None:
        losses_K = losses_K * class_weight.to(losses_K)
    return losses_K.mean()


@MODELS.register_module()
class DiceLoss(ClassWeightedLoss):
    """Dice loss; see :func:`dice_loss`.

    Args:
        smooth: added to numerator and denominator.
        loss_name: key in the log; must begin with "loss" to be minimised.
        base: ``class_weight`` and ``loss_weight``, see :class:`ClassWeightedLoss`.
    """

    def __init__(self, smooth: float = 1.0, *, loss_name: str = 'loss_dice', **base: Any) -> None:
        super().__init__(loss_name=loss_name, **base)
        self.smooth = smooth

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return dice_loss(logits, labels, smooth=self.smooth, **options)
