"""Focal loss for label maps: cross entropy that counts sure pixels less.

Paper: Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection", arXiv 1708.02002,
Eq. 4 and 5, with the softmax over the classes in the place of the sigmoid: -(1 - p)^gamma log(p),
where p is the probability of the true class. Its alpha are the class weights.

Deliberately different from mmseg's FocalLoss, which trains one sigmoid per class.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from typing import Any

import torch
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.models.losses.cross_entropy import label_weights, pixel_cross_entropy
from openseg_plugin.registry import MODELS

_TINY = torch.finfo(torch.float32).tiny


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: float = 2.0,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Mean focal loss of the labelled pixels, a scalar; 0 where no pixel is labelled.

    The mean is divided by the summed class weights, as that of the cross entropy, which this is
    for gamma 0.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        gamma: how much less sure pixels count, 0 or more.
        class_weight: (K,) weights, (2,) for one channel. None: all 1.
        ignore_index: label that takes no part.
    """
    losses = pixel_cross_entropy(logits, labels, ignore_index=ignore_index)
    weights = label_weights(labels, class_weight, ignore_index=ignore_index, dtype=losses.dtype)
    # 1 - p, kept off 0, where a gamma below 1 has an infinite slope
    unsure = (-torch.expm1(-losses)).clamp(min=_TINY)
    return (losses * unsure**gamma * weights).sum() / weights.sum().clamp(min=_TINY)


@MODELS.register_module()
class FocalLoss(ClassWeightedLoss):
    """Focal loss; see the head of this module.

    Args:
        gamma: how much less sure pixels count, 0 or more.
        loss_name: key in the log; must begin with "loss" to be minimized.
        base: ``class_weight`` and ``loss_weight``, see :class:`ClassWeightedLoss`.

    Raises:
        ConfigError: ``gamma`` is negative.
    """

    def __init__(self, gamma: float = 2.0, *, loss_name: str = 'loss_focal', **base: Any) -> None:
        super().__init__(loss_name=loss_name, **base)
        if gamma < 0:
            raise ConfigError(f'FocalLoss got gamma={gamma}: 0 or more is needed.')
        self.gamma = gamma

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return focal_loss(logits, labels, gamma=self.gamma, **options)
