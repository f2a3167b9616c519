"""Cross entropy of NVIDIA's recipes: rare classes count more, and borders may be either class.

Class weights follow from the labels at hand. Source: ``ImageBasedCrossEntropyLoss2d`` of
NVIDIA/semantic-segmentation (commit 7726b14). Despite its name the fractions are those of the whole
batch; the weighted means of the images are summed.

Label relaxation: beside a boundary any of the neighboring classes is right. Paper: Zhu, Sapra,
Reda et al., "Improving Semantic Segmentation via Video Propagation and Label Relaxation", arXiv
1812.01593, Sec. 3.3; numbers as ``ImgWtLossSoftNLL`` and ``RelaxedBoundaryLossToTensor`` of that
commit on one image. Deliberately different: with several images each is weighted by its own
boundaries (there those of the whole batch go into every image), and a class that an image lacks
weighs 1 instead of NaN.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
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
        upper_bound: b in 1 + b * (1 - fraction), or in 1 + b / fraction with ``inverse``.
        inverse: see there.
        ignore_index: label that takes no part in the fractions. (NVIDIA counts it as the last class
            where it equals K, as on Mapillary; here it never counts.)
    """
    known = labels[(labels != ignore_index) & (labels >= 0) & (labels < num_classes)]
    counts = torch.bincount(known.flatten(), minlength=num_classes).float()
    fractions = counts / counts.sum().clamp(min=1)
    return weights_of_fractions(fractions, upper_bound=upper_bound, inverse=inverse)


def weights_of_fractions(fractions: Tensor, *, upper_bound: float, inverse: bool) -> Tensor:
    """Weights of classes by their fractions (0..1) of the pixels; see :func:`class_weights_of`."""
    present = fractions > 0
    raw = 1 / fractions.where(present, 1) if inverse else 1 - fractions
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
        inverse: weights grow with 1 / fraction instead (``norm``); then nothing bounds them.
        loss_name: key in the log; must begin with "loss" to be minimized.
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


def relaxed_target(
    labels: Tensor,
    num_classes: int,
    *,
    border: int = 1,
    strict_classes: Sequence[int] = (),
    sharp: bool = False,
    ignore_index: int = 255,
) -> Tensor:
    """The classes around every pixel: (N, K + 1, H, W) uint8, the last channel for "ignored".

    Args:
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        num_classes: K.
        border: the window is (2 * border + 1) squared; outside of the image it is ignored.
        strict_classes: pixels of these classes keep their own class alone.
        sharp: the later phase of the training: half the border (rounded down), and 2 instead of 1
            at pixels with another label above, below, left or right.
        ignore_index: label that takes no part.
    """
    known = (labels != ignore_index) & (labels >= 0) & (labels < num_classes)
    ids = labels.where(known, num_classes)
    own = F.one_hot(ids, num_classes + 1).permute(0, 3, 1, 2).to(torch.float32)
    border = border // 2 if sharp else border
    padded = F.pad(own, [border] * 4)
    padded[:, -1] = F.pad(own[:, -1], [border] * 4, value=1.0)
    target = F.max_pool2d(padded, 2 * border + 1, stride=1)
    for strict in strict_classes:
        target = torch.where((ids == strict).unsqueeze(1), own, target)
    if sharp:
        target = target * (1 + _on_boundary(ids).unsqueeze(1))
    return target.to(torch.uint8)


def _on_boundary(ids: Tensor) -> Tensor:
    """(N, H, W) bool: another id above, below, left or right."""
    found = torch.zeros_like(ids, dtype=torch.bool)
    rows = ids[:, 1:] != ids[:, :-1]
    columns = ids[:, :, 1:] != ids[:, :, :-1]
    found[:, 1:] |= rows
    found[:, :-1] |= rows
    found[:, :, 1:] |= columns
    found[:, :, :-1] |= columns
    return found


def boundary_relaxed_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    upper_bound: float = 1.0,
    inverse: bool = False,
    batch_weights: bool = False,
    sharp: bool = False,
) -> Tensor:
    """Sum over the images of the mean of -log(probability of any class in the window).

    Args:
        logits: (N, K, H, W) scores.
        target: (N, K + 1, H, W) as :func:`relaxed_target` gives it.
        upper_bound: b in the weights 1 + b * (1 - fraction), or 1 + b / fraction if ``inverse``;
            fractions are those of the target of each image, ignored pixels included.
        inverse: see there.
        batch_weights: take the fractions of the whole batch.
        sharp: the later phase: a pixel's loss is multiplied with the sum of its target instead of
            divided by the number of its classes.

    Returns:
        A scalar; 0 for images without a label.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    counted = target.to(logits.dtype)
    sums = counted.sum((0, 2, 3) if batch_weights else (2, 3))
    fractions = sums / sums.sum(-1, keepdim=True)
    weights = weights_of_fractions(fractions, upper_bound=upper_bound, inverse=inverse)
    weights = weights[..., :-1].reshape(-1, logits.shape[1], 1, 1)

    number = counted[:, :-1].sum(1)  # of classes at the pixel, boundaries twice if sharp
    ignored = number == 0
    number = number.where(~ignored, 1)
    window = (target[:, :-1] > 0).to(logits.dtype)
    probabilities = logits.softmax(dim=1)
    together = window * (probabilities * window).sum(1, keepdim=True)
    # a class counts with what all classes of its window have together
    losses = -(window * weights * torch.maximum(probabilities, together).log()).sum(1)
    losses = (losses * number if sharp else losses / number) * ~ignored
    pixels = ignored.shape[1] * ignored.shape[2] - ignored.sum((1, 2)) + 1
    return (losses.sum((1, 2)) / pixels).sum()


@MODELS.register_module()
class BoundaryRelaxedLoss(LabelMapLoss):
    """Cross entropy with relaxed labels at boundaries; see the head of this module.

    Args:
        border: the window of a pixel is (2 * border + 1) squared.
        strict_classes: classes whose pixels keep their own class alone.
        upper_bound: of the class weights, see :func:`boundary_relaxed_cross_entropy`.
        inverse: see there.
        batch_weights: see there.
        sharp: the later phase of the training, with boundaries that count more.
        loss_name: key in the log; must begin with "loss" to be minimized.
        base: ``loss_weight``, see :class:`LabelMapLoss`.

    Raises:
        ConfigError: ``border`` is negative.
    """

    def __init__(
        self,
        border: int = 1,
        *,
        strict_classes: Sequence[int] = (),
        upper_bound: float = 1.0,
        inverse: bool = False,
        batch_weights: bool = False,
        sharp: bool = False,
        loss_name: str = 'loss_relaxed',
        **base: Any,
    ) -> None:
        super().__init__(loss_name=loss_name, **base)
        if border < 0:
            raise ConfigError(f'BoundaryRelaxedLoss got border={border}: 0 or more is needed.')
        self.border = border
        self.strict_classes = tuple(strict_classes)
        self.options: dict[str, Any] = dict(
            upper_bound=upper_bound, inverse=inverse, batch_weights=batch_weights
        )
        self.sharp = sharp

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        target = relaxed_target(
            labels,
            logits.shape[1],
            border=self.border,
            strict_classes=self.strict_classes,
            sharp=self.sharp,
            **options,
        )
        return boundary_relaxed_cross_entropy(logits, target, sharp=self.sharp, **self.options)
