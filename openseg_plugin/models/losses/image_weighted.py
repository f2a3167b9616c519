"""Cross entropy whose class weights follow from the labels at hand: rare classes count more.

Source: ``ImageBasedCrossEntropyLoss2d`` of NVIDIA/semantic-segmentation (commit 7726b14). Despite
its name the shares are those of the whole batch; the weighted means of the pictures are summed.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

import torch
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
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
    present = counts > 0
    raw = 1 / shares.where(present, 1) if inverse else 1 - shares
    return 1 + (present * upper_bound * raw)


def image_weighted_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    upper_bound: float = 1.0,
    inverse: bool = False,
    ignore_index: int = 255,
) -> Tensor:
    """Sum over the pictures of their weighted means, a scalar; 0 for pictures without a label.

    Args:
        logits: (N, K, H, W) scores.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        upper_bound: see :func:`class_weights_of`.
        inverse: see there.
        ignore_index: label that takes no part.
    """
    weights = class_weights_of(
        labels,
        max(2, logits.shape[1]),
        upper_bound=upper_bound,
        inverse=inverse,
        ignore_index=ignore_index,
    )
    means = [
        cross_entropy(scores, label, class_weight=weights, ignore_index=ignore_index)
        for scores, label in zip(logits.split(1), labels.split(1))
    ]
    return torch.stack(means).sum()


@MODELS.register_module()
class ImageWeightedCrossEntropyLoss(nn.Module):
    """Cross entropy with weights from the batch; see the head of this module.

    Args:
        upper_bound: how much more than 1 a vanishingly rare class may count (NVIDIA's
            ``wt_bound``).
        inverse: weights grow with 1 / share instead (``norm``); then nothing bounds them.
        loss_weight: factor of the result.
        loss_name: key in the log; must begin with "loss" to be minimised.

    Raises:
        ConfigError: ``upper_bound`` is negative.
    """

    def __init__(
        self,
        upper_bound: float = 1.0,
        *,
        inverse: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_image_weighted',
    ) -> None:
        super().__init__()
        if upper_bound < 0:
            raise ConfigError(
                f'ImageWeightedCrossEntropyLoss got upper_bound={upper_bound}: 0 or more is needed.'
            )
        self.upper_bound = upper_bound
        self.inverse = inverse
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Weighted loss of ``logits`` (N, K, H, W) against ``labels`` (N, H, W); a scalar."""
        return self.loss_weight * image_weighted_cross_entropy(
            logits,
            labels,
            upper_bound=self.upper_bound,
            inverse=self.inverse,
            ignore_index=ignore_index,
        )
