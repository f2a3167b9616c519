"""Tversky loss: Dice with a price of its own for pixels too many and for pixels missed.

Papers: Salehi, Erdogmus, Gholipour, "Tversky loss function for image segmentation using 3D fully
convolutional deep networks", arXiv 1706.05721, Eq. 3; the exponent is that of Abraham and Khan, "A
novel focal Tversky loss function with improved attention U-Net", arXiv 1810.07842, Eq. 4.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from typing import Any

import torch
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.models.losses.overlap import soft_overlap
from openseg_plugin.registry import MODELS

_TINY = torch.finfo(torch.float32).tiny


def tversky_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 1.0,
    smooth: float = 1.0,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """(1 - (TP + smooth) / (TP + alpha * FP + beta * FN + smooth)) ** gamma, a scalar, 0 to 1.

    TP, FP and FN are sums of probabilities over the labelled pixels of one image and class; the
    mean is over the classes, times their weights, and over the images that have a label.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        alpha: price of pixels too many.
        beta: price of pixels missed. With both 0.5 it is the Dice loss of twice the ``smooth``.
        gamma: above 1 good classes count less (Abraham and Khan: 4/3, as their gamma divides).
        smooth: added to numerator and denominator, in pixels; 0 leaves absent classes at 1.
        class_weight: (K,) factors; the mean is not normalised by them. None: all 1.
        ignore_index: label that takes no part.
    """
    both, predicted, true = soft_overlap(logits, labels, ignore_index=ignore_index)
    wrong = alpha * (predicted - both) + beta * (true - both)
    index = (both + smooth) / (both + wrong + smooth).clamp(min=_TINY)
    # kept off 0, where a gamma below 1 has an infinite slope
    losses_NK = (1 - index).clamp(min=_TINY) ** gamma
    if class_weight is not None:
        losses_NK = losses_NK * class_weight.to(losses_NK)
    has_label = (true.sum(1) > 0).to(losses_NK.dtype)
    return (losses_NK.mean(1) * has_label).sum() / has_label.sum().clamp(min=1)


@MODELS.register_module()
class TverskyLoss(ClassWeightedLoss):
    """Tversky loss; see :func:`tversky_loss`.

    Args:
        alpha: price of pixels too many.
        beta: price of pixels missed.
        gamma: exponent of the loss of each class.
        smooth: added to numerator and denominator, in pixels.
        loss_name: key in the log; must begin with "loss" to be minimised.
        base: ``class_weight`` and ``loss_weight``, see :class:`ClassWeightedLoss`.

    Raises:
        ConfigError: a price is negative, both are 0, or ``gamma`` is not positive.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        *,
        gamma: float = 1.0,
        smooth: float = 1.0,
        loss_name: str = 'loss_tversky',
        **base: Any,
    ) -> None:
        super().__init__(loss_name=loss_name, **base)
        if min(alpha, beta) < 0 or alpha + beta == 0 or gamma <= 0:
            raise ConfigError(
                f'TverskyLoss got alpha={alpha}, beta={beta} and gamma={gamma}: the first two must '
                'be 0 or more and not both 0, gamma above 0.'
            )
        self.options: dict[str, Any] = dict(alpha=alpha, beta=beta, gamma=gamma, smooth=smooth)

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return tversky_loss(logits, labels, **self.options, **options)
