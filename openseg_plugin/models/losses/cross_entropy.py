"""Cross entropy for label maps, with the two ways of averaging that the sources use.

``average='valid'`` is openseg's and PyTorch's weighted mean over labelled pixels.
``average='all'`` divides by the number of all pixels, labelled or not, and does not normalize the
class weights: HRNet-OCR's auxiliary loss beside OHEM (hard examples), and mmseg's default.

Legend: N batch, K classes, (H, W) size of the label map in pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.models.losses.base import ClassWeightedLoss
from openseg_plugin.registry import MODELS

AVERAGES = ('valid', 'all')
_TINY = torch.finfo(torch.float32).tiny  # a batch without labels gives 0, not NaN


def pixel_cross_entropy(logits: Tensor, labels: Tensor, *, ignore_index: int) -> Tensor:
    """Unweighted cross entropy of each pixel, 0 where the label is ignored.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        ignore_index: label that takes no part.

    Returns:
        (N, H, W) float32 (float64 for float64 logits).

    Raises:
        DataError: a label other than 0, 1 and ``ignore_index`` for one channel.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if logits.shape[1] > 1:
        return F.cross_entropy(logits, labels, reduction='none', ignore_index=ignore_index)
    valid = labels != ignore_index
    target = labels.where(valid, 0)
    highest = int(target.max())
    if highest > 1:
        raise DataError(
            f'the labels hold class {highest}, but the model has one output channel, which tells '
            f'0 from 1 (ignored: {ignore_index}): map the labels to these values, or set '
            'out_channels to the number of classes.'
        )
    loss = F.binary_cross_entropy_with_logits(
        logits.squeeze(1), target.to(logits.dtype), reduction='none'
    )
    return loss.where(valid, 0)


def label_weights(
    labels: Tensor, class_weight: Tensor | None, *, ignore_index: int, dtype: torch.dtype
) -> Tensor:
    """(N, H, W) weight of each pixel: that of its class (1 without weights), 0 where ignored."""
    valid = labels != ignore_index
    if class_weight is None:
        return valid.to(dtype)
    weights = class_weight.to(device=labels.device, dtype=dtype)
    return weights[labels.where(valid, 0)].where(valid, 0)


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
    average: str = 'valid',
    weight: Tensor | None = None,
) -> Tensor:
    """Cross entropy, a scalar; 0 where no pixel is labelled.

    Args:
        logits: (N, K, H, W) scores; with one channel the score of class 1 against class 0.
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        class_weight: (K,) weights, (2,) for one channel. None: all 1.
        ignore_index: label that takes no part.
        average: 'valid' divides by the summed class weights of the labelled pixels, 'all' by the
            number of all pixels.
        weight: (N, H, W) factor of each pixel's loss; does not enter the divisor.
    """
    losses = pixel_cross_entropy(logits, labels, ignore_index=ignore_index)
    weights = label_weights(labels, class_weight, ignore_index=ignore_index, dtype=losses.dtype)
    divisor = labels.numel() if average == 'all' else weights.sum().clamp(min=_TINY)
    weights = weights if weight is None else weights * weight
    return (losses * weights).sum() / divisor


@MODELS.register_module()
class CrossEntropyLoss(ClassWeightedLoss):
    """Cross entropy; logits with one channel are trained as one against the rest.

    Args:
        class_weight: see :class:`ClassWeightedLoss`.
        loss_weight: see there.
        average: 'valid' (openseg, PyTorch) or 'all' (HRNet-OCR beside OHEM, mmseg); see the
            head of this module.
        loss_name: key in the log; must begin with "loss" to be minimized.

    Raises:
        ConfigError: unknown ``average``.
    """

    takes_pixel_weights = True

    def __init__(
        self,
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        *,
        average: str = 'valid',
        loss_name: str = 'loss_ce',
    ) -> None:
        super().__init__(class_weight, loss_weight, loss_name=loss_name)
        if average not in AVERAGES:
            raise ConfigError(f'CrossEntropyLoss got average={average!r}, but knows {AVERAGES}.')
        self.average = average

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return cross_entropy(logits, labels, average=self.average, **options)
