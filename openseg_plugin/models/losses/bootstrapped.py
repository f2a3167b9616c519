"""Cross entropy of the pixels that the network finds hardest, picture by picture.

Source: ``BootstrappedCrossEntropyLoss`` of PaddleSeg (idea: Wu, Shen, van den Hengel, arXiv
1605.06885). Deliberately different: a picture with ``min_kept`` pixels or fewer keeps all of them
instead of being refused.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openseg_plugin.models.losses.cross_entropy import (
    as_weights,
    check_class_weight,
    label_weights,
    pixel_cross_entropy,
)
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
class BootstrappedCrossEntropyLoss(nn.Module):
    """Cross entropy of the hardest pixels of each picture; see the head of this module.

    Args:
        min_kept: pixels of a picture that are kept at least (PaddleSeg's ``min_K``).
        thresh: loss above which every pixel is kept (``loss_th``).
        class_weight: one weight per class. None: all 1.
        loss_weight: factor of the result.
        loss_name: key in the log; must begin with "loss" to be minimised.
    """

    def __init__(
        self,
        min_kept: int = 100000,
        thresh: float = 0.05,
        *,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_bootstrapped',
    ) -> None:
        super().__init__()
        self.register_buffer('class_weight', as_weights(class_weight), persistent=False)
        self.min_kept = min_kept
        self.thresh = thresh
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Weighted loss of ``logits`` (N, K, H, W) against ``labels`` (N, H, W); a scalar."""
        check_class_weight(self.class_weight, logits)
        return self.loss_weight * bootstrapped_cross_entropy(
            logits,
            labels,
            min_kept=self.min_kept,
            thresh=self.thresh,
            class_weight=self.class_weight,
            ignore_index=ignore_index,
        )
