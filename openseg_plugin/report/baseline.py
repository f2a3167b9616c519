"""What a model would score that calls every pixel the most frequent class: the least to beat."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Baseline:
    """Score of the constant answer.

    Attributes:
        class_id: the most frequent class.
        accuracy: its fraction of the labelled pixels, percent.
        mean_iou: percent, over the classes that occur (all others than it score 0).
    """

    class_id: int
    accuracy: float
    mean_iou: float


def majority_baseline(
    labels: Iterable[np.ndarray], *, num_classes: int, ignore_index: int = 255
) -> Baseline:
    """Baseline of a set of label maps.

    Args:
        labels: maps (H, W) of class ids.
        num_classes: K.
        ignore_index: label value that is left out.

    Raises:
        ValueError: no pixel has a class.
    """
    counts = np.zeros(num_classes, np.int64)
    for label in labels:
        kept = label[label != ignore_index]
        counts += np.bincount(kept.astype(np.int64), minlength=num_classes)[:num_classes]
    total = counts.sum()
    if total == 0:
        raise ValueError('no pixel of the labels has a class')
    best = int(counts.argmax())
    # IoU of the answer "always best": its pixels over all pixels; 0 for every other class there is
    share = float(counts[best] / total)
    return Baseline(best, 100 * share, 100 * share / int((counts > 0).sum()))
