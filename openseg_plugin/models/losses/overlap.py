"""How much soft predictions and labels overlap: what Dice and Tversky losses are made of.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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
