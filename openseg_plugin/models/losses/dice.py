"""Dice loss over all classes, picture by picture, as in PaddleSeg (2024-10-18).

Deliberately different: PaddleSeg's overwrites ignored labels with class 0 for whoever reads them
next, and its config lets seven further losses read them. Here labels stay as they are.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openseg_plugin.models.losses.cross_entropy import as_weights, check_class_weight
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

    Sums are over the labelled pixels of one picture and class, with p the softmax probability;
    the mean is over pictures and classes, times the class weights.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        smooth: see above; 0 leaves absent classes at 1.
        class_weight: (K,) factors; the mean is not normalised by them. None: all 1.
        ignore_index: label that takes no part.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    valid = labels != ignore_index
    probabilities = logits.softmax(dim=1) * valid.unsqueeze(1)
    target = F.one_hot(labels.where(valid, 0), logits.shape[1]).permute(0, 3, 1, 2)
    target = (target * valid.unsqueeze(1)).to(logits.dtype)
    both = (probabilities * target).sum((2, 3))
    total = probabilities.sum((2, 3)) + target.sum((2, 3))
    losses_K = (1 - (2 * both + smooth) / (total + smooth + _TINY)).mean(0)
    if class_weight is not None:
        losses_K = losses_K * class_weight.to(losses_K)
    return losses_K.mean()


@MODELS.register_module()
class DiceLoss(nn.Module):
    """Dice loss; see :func:`dice_loss`.

    Args:
        smooth: added to numerator and denominator.
        class_weight: one weight per class (two for one channel). None: all 1.
        loss_weight: factor of the result.
        loss_name: key in the log; must begin with "loss" to be minimised.
    """

    def __init__(
        self,
        smooth: float = 1.0,
        *,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_dice',
    ) -> None:
        super().__init__()
        self.register_buffer('class_weight', as_weights(class_weight), persistent=False)
        self.smooth = smooth
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Weighted loss of ``logits`` (N, K, H, W) against ``labels`` (N, H, W); a scalar."""
        check_class_weight(self.class_weight, logits)
        return self.loss_weight * dice_loss(
            logits,
            labels,
            smooth=self.smooth,
            class_weight=self.class_weight,
            ignore_index=ignore_index,
        )
