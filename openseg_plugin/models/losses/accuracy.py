"""Share of correctly classified pixels: the figure in the training log."""

import torch
from torch import Tensor


@torch.no_grad()
def pixel_accuracy(
    logits: Tensor, labels: Tensor, *, ignore_index: int = 255, threshold: float = 0.5
) -> Tensor:
    """Percentage of labelled pixels whose class has the highest score; 0 without labels.

    mmseg finds the same by a top-k over all classes, which costs half of a loss computation. One
    maximum and one look-up are enough. (Equal highest scores count as correct.)

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        ignore_index: label that takes no part.
        threshold: probability above which one channel means class 1.

    Returns:
        A scalar, 0 to 100.
    """
    valid = labels != ignore_index
    if logits.shape[1] == 1:
        correct = (logits.squeeze(1).sigmoid() > threshold) == (labels == 1)
    else:
        index = labels.where(valid, 0).unsqueeze(1)
        correct = logits.gather(1, index).squeeze(1) == logits.amax(dim=1)
    return 100 * (correct & valid).sum() / valid.sum().clamp(min=1)
