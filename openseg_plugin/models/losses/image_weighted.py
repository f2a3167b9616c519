"""Cross entropy whose class weights follow from the labels at hand: rare classes count more.

Source: ``ImageBasedCrossEntropyLoss2d`` of NVIDIA/semantic-segmentation (commit 7726b14). Despite
its name the shares are those of the whole batch; the weighted means of the images are summed.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from typing import Any

import torch
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses.base import LabelMapLoss
from openseg_plugin.models.losses.cross_entropy import cross_entropy
from openseg_plugin.registry import MODELS


def class_weights_of(
    labels: Tensor,
    num_classes: int,
    *,
    upper_bound: float = 1.0,
    inverse: bool = False,
    ignore_index: int = 255,
) -> Tensor:
    """(K,) float32 weights of the classes, 1 for those that are not there.

    Args:
        labels: label ids of any shape.
        num_classes: K.
        upper_bound: b in 1 + b * (1 - share), or in 1 + b / share with ``inverse``.
        inverse: see there.
        ignore_index: label that takes no part in the shares. (NVIDIA counts it as the last class
            where it equals K, as on Mapillary; here it never counts.)
    """
    known = labels[(labels != ignore_index) & (labels >= 0) & (labels < num_classes)]
    counts = torch.bincount(known.flatten(), minlength=num_classes).float()
    shares = counts / counts.sum().clamp(min=1)
    return weights_of_shares(shares, upper_bound=upper_bound, inverse=inverse)


def weights_of_shares(shares: Tensor, *, upper_bound: float, inverse: bool) -> Tensor:
    """Weights of classes by their shares (0 to 1) of the pixels; see :func:`class_weights_of`."""
    present = shares > 0
    raw = 1 / shares.where(present, 1) if inverse else 1 - shares
    return 1 + (present * upper_bound * raw)


def image_weighted_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    ignore_index: int = 255,
    **options: Any,
) -> Tensor:
    """Sum over the images of their weighted means, a scalar; 0 for images without a label.

    Args:
        logits: (N, K, H, W) scores.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        ignore_index: label that takes no part.
        options: ``upper_bound`` and ``inverse`` of :func:`class_weights_of`.
    """
    classes = max(2, logits.shape[1])
    weights = class_weights_of(labels, classes, ignore_index=ignore_index, **options)
    means = [
        cross_entropy(scores, label, class_weight=weights, ignore_index=ignore_index)
        for scores, label in zip(logits.split(1), labels.split(1))
    ]
    return torch.stack(means).sum()


@MODELS.register_module()
class ImageWeightedCrossEntropyLoss(LabelMapLoss):
    """Cross entropy with weights from the batch; see the head of this module.

    Args:
        upper_bound: how much more than 1 a vanishingly rare class may count (NVIDIA's
            ``wt_bound``).
        inverse: weights grow with 1 / share instead (``norm``); then nothing bounds them.
        loss_name: key in the log; must begin with "loss" to be minimised.
        base: ``loss_weight``, see :class:`LabelMapLoss`.

    Raises:
        ConfigError: ``upper_bound`` is negative.
    """

    def __init__(
        self,
        upper_bound: float = 1.0,
        *,
        inverse: bool = False,
        loss_name: str = 'loss_image_weighted',
        **base: Any,
    ) -> None:
        super().__init__(loss_name=loss_name, **base)
        if upper_bound < 0:
            raise ConfigError(
                f'ImageWeightedCrossEntropyLoss got upper_bound={upper_bound}: 0 or more is needed.'
            )
        self.upper_bound = upper_bound
        self.inverse = inverse

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return image_weighted_cross_entropy(
            logits, labels, upper_bound=self.upper_bound, inverse=self.inverse, **options
        )
