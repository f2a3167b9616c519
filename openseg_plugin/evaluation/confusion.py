"""Integer confusion counts and the metrics that follow from them.

K classes. A confusion matrix is (K, K + 1) int64: rows are labels, columns predictions, the last
column predictions that are no class. Ignored pixels are nowhere. Counts are integers from the
first pixel to the last image: sums of float32 histograms, as mmseg keeps them, lose pixels above
2**24.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from openseg_plugin.errors import DataError

_BYTE = 256
# cv2 counts in float32, which is exact up to 2**24 pixels
_PIXELS = 2**24


def confusion_matrix(
    prediction: Tensor | np.ndarray,
    label: Tensor | np.ndarray,
    *,
    num_classes: int,
    ignore_index: int = 255,
) -> np.ndarray:
    """Counts of (label, prediction) pairs, (K, K + 1) int64.

    Args:
        prediction: (H, W) integer class ids; values outside 0..K-1 count as no class.
        label: (H, W) integer class ids, ``ignore_index`` where nothing is asked.
        num_classes: K.
        ignore_index: label value that is left out.

    Raises:
        DataError: the sizes differ, or labels are neither a class nor ``ignore_index``.
    """
    if prediction.shape != label.shape:
        raise DataError(
            f'the label has {tuple(label.shape)} (rows, columns) but the prediction '
            f'{tuple(prediction.shape)}: both must have one size'
        )
    prediction, label = _tensor(prediction), _tensor(label)
    bytes_are_enough = num_classes < _BYTE and 0 <= ignore_index < _BYTE
    if prediction.device.type == 'cpu' and bytes_are_enough and _fits(prediction) and _fits(label):
        table = _byte_table(_as_bytes(prediction), _as_bytes(label))
        return _cut(table, num_classes=num_classes, ignore_index=ignore_index)
    return _by_keys(prediction, label.to(prediction.device), num_classes, ignore_index)


def _tensor(ids: Tensor | np.ndarray) -> Tensor:
    if isinstance(ids, Tensor):
        return ids
    if ids.dtype == np.uint16:  # torch does not count those
        ids = ids.astype(np.int32)
    # torch warns of arrays that it could write to and must not
    return torch.from_numpy(np.require(ids, requirements=['C', 'W']))


def _fits(ids: Tensor) -> bool:
    if ids.dtype == torch.uint8:
        return True
    low, high = ids.aminmax()
    return bool(low >= 0) and bool(high < _BYTE)


def _as_bytes(ids: Tensor) -> np.ndarray:
    return np.ascontiguousarray(ids.to(torch.uint8).numpy())


def _byte_table(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """All (label, prediction) pairs of bytes, (256, 256) int64."""
    total = np.zeros((_BYTE, _BYTE), np.int64)
    step = max(1, _PIXELS // prediction.shape[1])
    for start in range(0, len(prediction), step):
        pair = [label[start : start + step], prediction[start : start + step]]
        ranges = [0, _BYTE, 0, _BYTE]
        # float32, but whole numbers up to 2**24
        counts = cv2.calcHist(pair, [0, 1], None, [_BYTE, _BYTE], ranges)
        total += counts.astype(np.int64)
    return total


def _cut(table: np.ndarray, *, num_classes: int, ignore_index: int) -> np.ndarray:
    """(256, 256) byte pairs -> (K, K + 1)."""
    table[ignore_index] = 0
    strange = table[num_classes:].sum(1)
    _refuse({num_classes + int(i): int(strange[i]) for i in strange.nonzero()[0]}, num_classes)
    rest = table[:num_classes, num_classes:].sum(1, keepdims=True)
    return np.concatenate([table[:num_classes, :num_classes], rest], axis=1)


def _by_keys(prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> np.ndarray:
    """Any device and any integers: one number per pair, counted."""
    prediction, label = prediction.long(), label.long()
    kept = label != ignore_index
    strange = kept & ((label < 0) | (label >= num_classes))
    width = num_classes + 1
    known = (prediction >= 0) & (prediction < num_classes)
    keys = label * width + torch.where(known, prediction, num_classes)
    # pixels that do not count go behind the last pair
    end = num_classes * width
    keys = torch.where(kept & ~strange, keys, end)
    counts = torch.bincount(keys.flatten(), minlength=end + 1)[:end].cpu().numpy()
    if strange.any():
        values, numbers = label[strange].unique(return_counts=True)
        _refuse(dict(zip(values.tolist(), numbers.tolist())), num_classes)
    return counts.reshape(num_classes, width)


def _refuse(strange: dict[int, int], num_classes: int) -> None:
    if not strange:
        return
    found = ', '.join(f'{value} ({pixels} pixels)' for value, pixels in strange.items())
    raise DataError(
        f'the label has values outside the {num_classes} classes: {found}; map them to a class, or '
        'leave one out (ignore_index, --ignore-index)'
    )


def class_areas(matrix: np.ndarray) -> np.ndarray:
    """Pixels that agree, predicted and labelled ones per class: (..., 3, K) of (..., K, K + 1)."""
    both = matrix[..., :-1].diagonal(axis1=-2, axis2=-1)
    return np.stack([both, matrix.sum(-2)[..., :-1], matrix.sum(-1)], axis=-2)


def class_metrics(areas: np.ndarray, *, names: Sequence[str], beta: float = 1) -> dict:
    """Metrics per class, fractions of 1, NaN where a class does not occur.

    Args:
        areas: (..., 3, K) as :func:`class_areas` gives them, summed over the images.
        names: groups of metrics: 'mIoU' (IoU, Acc), 'mDice' (Dice, Acc), 'mFscore' (Fscore,
            Precision, Recall).
        beta: weight of recall in Fscore.

    Returns:
        Name -> (..., K) float64, in the order of mmseg's table; ``aAcc`` (fraction of pixels that
        are right) is (...) and comes first.
    """
    both, predicted, labelled = np.moveaxis(areas.astype(np.float64), -2, 0)
    with np.errstate(divide='ignore', invalid='ignore'):
        metrics = {'aAcc': both.sum(-1) / labelled.sum(-1)}
        if 'mIoU' in names:
            metrics['IoU'] = both / (predicted + labelled - both)
            metrics['Acc'] = both / labelled
        if 'mDice' in names:
            metrics['Dice'] = 2 * both / (predicted + labelled)
            metrics['Acc'] = both / labelled
        if 'mFscore' in names:
            precision, recall = both / predicted, both / labelled
            weighted = (1 + beta**2) * precision * recall
            metrics['Fscore'] = weighted / (beta**2 * precision + recall)
            metrics['Precision'], metrics['Recall'] = precision, recall
    return metrics
