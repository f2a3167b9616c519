"""What our losses share: their place in the log, their factor, class weights, and mmseg's call.

Legend: N batch, K classes, (H, W) size of the label map in pixels.

Fraction of correctly classified pixels: the metric in the training log.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.utils.class_weights import read_class_weights


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


class LabelMapLoss(nn.Module):
    """Derive and implement :meth:`value`.

    Args:
        loss_weight: factor of the result.
        loss_name: key in the log; must begin with "loss" to be minimized.
    """

    takes_pixel_weights = False

    def __init__(self, loss_weight: float = 1.0, *, loss_name: str) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def value(self, logits: Tensor, labels: Tensor, *, ignore_index: int) -> Tensor:
        """The loss without its factor; arguments as those of ``forward``."""
        raise NotImplementedError

    def forward(
        self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Weighted loss, a scalar.

        Args:
            logits: (N, K, H, W) scores.
            labels: (N, H, W) int64 class ids or ``ignore_index``.
            weight: (N, H, W) factor of each pixel, as mmseg's pixel samplers make it.
            ignore_index: label that takes no part.

        Raises:
            ConfigError: pixel weights for a loss that has no use for them.
        """
        options = self.options_of(logits, ignore_index=ignore_index)
        if weight is not None:
            if not self.takes_pixel_weights:
                raise ConfigError(
                    f'{type(self).__name__} got a weight per pixel, but cannot weight pixels: take '
                    'the pixel sampler out of the head, or use CrossEntropyLoss.'
                )
            options['weight'] = weight
        return self.loss_weight * self.value(logits, labels, **options)

    def options_of(self, logits: Tensor, *, ignore_index: int) -> dict[str, Any]:
        """Further arguments of :meth:`value`."""
        return dict(ignore_index=ignore_index)


class ClassWeightedLoss(LabelMapLoss):
    """A loss whose :meth:`value` takes ``class_weight``, too.

    Args:
        class_weight: one weight per class (two for one channel), or a file of them, see
            :func:`~openseg_plugin.utils.class_weights.read_class_weights`. None: all 1.
        loss_weight: factor of the result.
        loss_name: key in the log; must begin with "loss" to be minimized.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        *,
        loss_name: str,
    ) -> None:
        super().__init__(loss_weight, loss_name=loss_name)
        if isinstance(class_weight, str):
            class_weight = read_class_weights(class_weight)
        weights = None
        if class_weight is not None:
            weights = torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer('class_weight', weights, persistent=False)

    def options_of(self, logits: Tensor, *, ignore_index: int) -> dict[str, Any]:
        """See :class:`LabelMapLoss`.

        Raises:
            ConfigError: there is not one weight per class.
        """
        classes = max(2, logits.shape[1])
        if self.class_weight is not None and len(self.class_weight) != classes:
            raise ConfigError(
                f'class_weight has {len(self.class_weight)} numbers, but the model tells {classes} '
                'classes apart: give one weight per class, or None.'
            )
        return dict(class_weight=self.class_weight, ignore_index=ignore_index)
