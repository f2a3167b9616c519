"""Lovasz-softmax: a convex extension of the intersection over union, which it thus trains.

Paper: Berman, Rannen Triki, Blaschko, "The Lovasz-Softmax Loss", arXiv 1705.08790, Eq. 7 to 9 and
Alg. 1. For one class with errors m (1 - p where it is the label, p elsewhere), sorted so that the
largest come first, the loss is the sum of m_i * (J_i - J_(i-1)), with J_i the Jaccard loss of
getting exactly the first i pixels wrong.

Legend: N batch, K classes, (H, W) size of the label map in pixels, P labelled pixels.
"""

from typing import Any

import torch
from torch import Tensor

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.models.losses.overlap import class_probabilities
from openseg_plugin.registry import MODELS

CLASSES = ('present', 'all')


def lovasz_softmax(
    logits: Tensor,
    labels: Tensor,
    *,
    per_image: bool = False,
    classes: str = 'present',
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Mean over classes of the extended Jaccard loss, a scalar, 0 to 1; 0 without a label.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        per_image: take the loss of each image that has a label, and their mean, instead of that of
            all pixels of the batch.
        classes: 'present': the mean is over the classes that have pixels; 'all': over all.
        class_weight: (K,) factors; the mean is not normalized by them. None: all 1.
        ignore_index: label that takes no part.

    Raises:
        DataError: a label that is no class.
    """
    probabilities = class_probabilities(logits)
    options: dict[str, Any] = dict(
        classes=classes, class_weight=class_weight, ignore_index=ignore_index
    )
    if not per_image:
        return _of_pixels(probabilities, labels, **options)
    values = [
        _of_pixels(probabilities[index : index + 1], label, **options)
        for index, label in enumerate(labels.split(1))
        if (label != ignore_index).any()
    ]
    return torch.stack(values).mean() if values else 0.0 * probabilities.sum()


def _of_pixels(
    probabilities: Tensor,
    labels: Tensor,
    *,
    classes: str,
    class_weight: Tensor | None,
    ignore_index: int,
) -> Tensor:
    valid = labels != ignore_index
    labels_P = labels[valid]
    if not labels_P.numel():
        return 0.0 * probabilities.sum()
    _require_classes(labels_P, probabilities.shape[1], ignore_index)
    values = []
    for number, channel in enumerate(probabilities.unbind(1)):
        is_class = labels_P == number
        if classes == 'present' and not is_class.any():
            continue
        value = lovasz_extension(channel[valid], is_class)
        values.append(value if class_weight is None else value * class_weight[number])
    return torch.stack(values).mean()


def _require_classes(labels_P: Tensor, classes: int, ignore_index: int) -> None:
    """A comparison with each class would pass over other labels in silence."""
    # waits for the device, as the choice of the classes that are there does anyway
    for label in torch.stack(labels_P.aminmax()).tolist():
        if not 0 <= label < classes:
            raise DataError(
                f'the labels hold class {label}, but the model tells {classes} classes apart '
                f'(ignored: {ignore_index}): map the labels to 0 to {classes - 1}, or set '
                'num_classes to the number of classes.'
            )


def lovasz_extension(probability_P: Tensor, is_class_P: Tensor) -> Tensor:
    """Extended Jaccard loss of one class, a scalar.

    Args:
        probability_P: (P,) of the class, 0 to 1.
        is_class_P: (P,) bool, where it is the label.
    """
    errors, order = torch.where(is_class_P, 1 - probability_P, probability_P).sort(descending=True)
    return errors @ jaccard_steps(is_class_P[order], errors.dtype)


def jaccard_steps(is_class_P: Tensor, dtype: torch.dtype) -> Tensor:
    """(P,) by how much the Jaccard loss grows with each further wrong pixel.

    Args:
        is_class_P: (P,) bool, where the class is the label, in the order in which pixels go wrong.
        dtype: of the result.
    """
    total = is_class_P.sum()
    missed = is_class_P.cumsum(0)  # whole numbers, exact for every size
    union = total + (~is_class_P).cumsum(0)
    jaccard = 1 - (total - missed).to(dtype) / union.to(dtype)
    return torch.diff(jaccard, prepend=jaccard.new_zeros(1))


@MODELS.register_module()
class LovaszLoss(ClassWeightedLoss):
    """Lovasz-softmax; see the head of this module. Usually added to a cross entropy.

    Args:
        per_image: see :func:`lovasz_softmax`.
        classes: 'present' or 'all', see there.
        loss_name: key in the log; must begin with "loss" to be minimized.
        base: ``class_weight`` and ``loss_weight``, see :class:`ClassWeightedLoss`.

    Raises:
        ConfigError: unknown ``classes``.
    """

    def __init__(
        self,
        *,
        per_image: bool = False,
        classes: str = 'present',
        loss_name: str = 'loss_lovasz',
        **base: Any,
    ) -> None:
        super().__init__(loss_name=loss_name, **base)
        if classes not in CLASSES:
            raise ConfigError(f'LovaszLoss got classes={classes!r}, but knows {CLASSES}.')
        self.per_image = per_image
        self.classes = classes

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return lovasz_softmax(
            logits, labels, per_image=self.per_image, classes=self.classes, **options
        )
