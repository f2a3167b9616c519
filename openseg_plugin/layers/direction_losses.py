"""The two losses SegFix is trained with.

openseg.pytorch (commit aefc755, ``lib/loss/loss_helper.py``): cross entropies whose class weights
are counted anew in every batch. The direction loss looks only at pixels where the network itself
predicts boundary. Differs on purpose: where no such pixel is left the original divides by zero;
here the direction loss is zero, with gradients of zero.

Legend: N batch, D direction classes, h, w size of the outputs, H, W of the targets.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.layers.resize import resize_bilinear


def rarity_weights(target: Tensor, num_classes: int, *, ignore_index: int = 255) -> Tensor:
    """Weight of each class, 1 - its fraction of the pixels of the batch: (num_classes,) float32.

    Args:
        target: integers of any shape; ``ignore_index`` does not count.
        num_classes: values are 0 .. num_classes - 1.
        ignore_index: see above.
    """
    kept = target[target != ignore_index].long()
    counts = torch.bincount(kept, minlength=num_classes).float()
    return 1 - counts / counts.sum().clamp(min=1)


def segfix_losses(
    boundary_logits: Tensor,
    direction_logits: Tensor,
    boundary: Tensor,
    directions: Tensor,
    *,
    threshold: float = 0.5,
    ignore_index: int = 255,
) -> tuple[Tensor, Tensor]:
    """Boundary loss and direction loss, two scalars.

    Args:
        boundary_logits: (N, 2, h, w).
        direction_logits: (N, D, h, w).
        boundary: (N, H, W), 1 boundary, 0 interior, or ``ignore_index``.
        directions: (N, H, W) direction class 0..D-1 or ``ignore_index``.
        threshold: the direction counts where the predicted boundary probability is above it.
        ignore_index: see above.
    """
    size = boundary.shape[-2:]
    boundary_logits = resize_bilinear(boundary_logits, size, align_corners=True)
    direction_logits = resize_bilinear(direction_logits, size, align_corners=True)
    probability = boundary_logits.detach().softmax(dim=1)[:, 1]
    directions = directions.masked_fill(probability <= threshold, ignore_index)
    return (
        _weighted_cross_entropy(boundary_logits, boundary, ignore_index),
        _weighted_cross_entropy(direction_logits, directions, ignore_index),
    )


def _weighted_cross_entropy(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Cross entropy with :func:`rarity_weights`; zero where no pixel has a weight."""
    weights = rarity_weights(target, logits.shape[1], ignore_index=ignore_index)
    sums = F.cross_entropy(
        logits,
        target.long(),
        weight=weights.to(logits.dtype),
        ignore_index=ignore_index,
        reduction='sum',
    )
    counted = target != ignore_index
    total = weights[torch.where(counted, target, 0).long()][counted].sum()
    return sums / torch.where(total > 0, total, 1)
