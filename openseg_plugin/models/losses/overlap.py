"""How much soft predictions and labels overlap: Dice and Tversky losses.

Dice: over all classes, image by image, as in PaddleSeg (2024-10-18). Deliberately
different: PaddleSeg's overwrites ignored labels with class 0 for whoever reads them
next, and its config lets seven further losses read them. Here labels stay as they are.

Tversky: Dice with a price of its own for pixels too many and for pixels missed.

Papers: Salehi, Erdogmus, Gholipour, "Tversky loss function for image segmentation using 3D fully
convolutional deep networks", arXiv 1706.05721, Eq. 3; the exponent is that of Abraham and Khan, "A
novel focal Tversky loss function with improved attention U-Net", arXiv 1810.07842, Eq. 4.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.registry import MODELS


def class_probabilities(logits: Tensor) -> Tensor:
    """Softmax (N, K, H, W) in float32 or float64; K is 2 for one channel of logits.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits.softmax(dim=1)


def soft_overlap(
    logits: Tensor, labels: Tensor, *, ignore_index: int = 255
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums (N, K) over the labelled pixels of each image: of p * y, of p and of y.

    p is the probability of a class, y is 1 where it is the label and 0 elsewhere.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        ignore_index: label that takes no part.
    """
    probabilities = class_probabilities(logits)
    valid = labels != ignore_index
    probabilities = probabilities * valid.unsqueeze(1)
    target = F.one_hot(labels.where(valid, 0), probabilities.shape[1]).permute(0, 3, 1, 2)
    target = (target * valid.unsqueeze(1)).to(probabilities.dtype)
    both = (probabilities * target).sum((2, 3))
    return both, probabilities.sum((2, 3)), target.sum((2, 3))


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
        class_weight: (K,) factors; the mean is not normalized by them. None: all 1.
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
        loss_name: key in the log; must begin with "loss" to be minimized.
        base: ``class_weight`` and ``loss_weight``, see :class:`ClassWeightedLoss`.
    """

    def __init__(self, smooth: float = 1.0, *, loss_name: str = 'loss_dice', **base: Any) -> None:
        super().__init__(loss_name=loss_name, **base)
        self.smooth = smooth

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return dice_loss(logits, labels, smooth=self.smooth, **options)


_SMALLEST = torch.finfo(torch.float32).tiny


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
        class_weight: (K,) factors; the mean is not normalized by them. None: all 1.
        ignore_index: label that takes no part.
    """
    both, predicted, true = soft_overlap(logits, labels, ignore_index=ignore_index)
    wrong = alpha * (predicted - both) + beta * (true - both)
    index = (both + smooth) / (both + wrong + smooth).clamp(min=_SMALLEST)
    # kept off 0, where a gamma below 1 has an infinite slope
    losses_NK = (1 - index).clamp(min=_SMALLEST) ** gamma
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
        loss_name: key in the log; must begin with "loss" to be minimized.
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
