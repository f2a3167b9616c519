"""What one tested image contributes to a report, as integer counts that add up over images.

All but the time is counted in whole pixels, so sums over images, in any order and over any number
of processes, are exact and agree with the metrics.

Legend: H, W size in pixels, K classes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from openseg_plugin.evaluation.confusion import confusion_matrix
from openseg_plugin.report.drawing import boundary_distance

RADII = (1, 3, 5)
"""Tolerances of the boundary F-score in pixels."""
DISTANCES = 32
"""Bins of the distance to the nearest boundary: 0 to 1 px, 1 to 2 px ..., the last one open."""
CONFIDENCES = 20
"""Bins of the confidence, equally wide."""
CONFIDENCE_UNIT = 10_000
"""Confidences are summed as whole numbers in this fraction of 1."""
THRESHOLDS = 100
"""Bins of the foreground probability of a one-channel model."""


@dataclass(frozen=True)
class ImageCounts:
    """Counts of one image.

    Attributes:
        cells: (n, 3) int64, the cells of the confusion matrix that are not 0: true class, predicted
            class (K: none), pixels. A dense matrix per image would not fit for many classes.
        boundary: (K, 8) int64 per class: pixels of the predicted boundary and of the true one, then
            predicted ones with a true one within each of ``RADII``, then true ones with a
            predicted one.
        distance: (2, DISTANCES) int64, labelled pixels and wrong pixels by the distance to the
            nearest boundary of the ground truth; the rim of ignored regions is none.
        distance_before: wrong pixels of the unrefined prediction, (DISTANCES,), or None.
        confidence: (2, 2, CONFIDENCES) int64 of wrong and right pixels: how many, and the sum of
            their confidences in units of 1 / ``CONFIDENCE_UNIT``; None without probabilities.
        foreground: (2, THRESHOLDS) int64, pixels of background and foreground by the predicted
            probability of the foreground; None for models of several channels.
        seconds: time that the image took, 0 where it is not known.
    """

    cells: np.ndarray
    boundary: np.ndarray
    distance: np.ndarray
    distance_before: np.ndarray | None = None
    confidence: np.ndarray | None = None
    foreground: np.ndarray | None = None
    seconds: float = 0.0

    @property
    def confusion(self) -> np.ndarray:
        """(K, K + 1) int64, rows ground truth, columns prediction, the last one no class."""
        number = len(self.boundary)
        matrix = np.zeros((number, number + 1), np.int64)
        matrix[self.cells[:, 0], self.cells[:, 1]] = self.cells[:, 2]
        return matrix


def nonzero_cells(confusion: np.ndarray) -> np.ndarray:
    """(n, 3) int64 as :class:`ImageCounts` wants them, of a matrix (K, K + 1)."""
    true, predicted = confusion.nonzero()
    return np.stack([true, predicted, confusion[true, predicted]], axis=1)


def count_image(
    prediction: np.ndarray,
    label: np.ndarray,
    *,
    num_classes: int,
    ignore_index: int = 255,
    confidence: np.ndarray | None = None,
    foreground: np.ndarray | None = None,
    stride: int = 1,
    before: np.ndarray | None = None,
    seconds: float = 0.0,
) -> ImageCounts:
    """Counts of one prediction against its ground truth.

    Args:
        prediction: (H, W) class ids; others count as no class.
        label: (H, W) class ids, ``ignore_index`` where there is no ground truth.
        num_classes: K.
        ignore_index: label value that is left out.
        confidence: (h, w) probability of the predicted class, 0..1, of every ``stride``-th row and
            column.
        foreground: the same of the probability of class 1 of a one-channel model.
        stride: of these two.
        before: (H, W) class ids before refinement.
        seconds: time that the image took.

    Raises:
        DataError: sizes differ, or labels are neither a class nor ``ignore_index``.
    """
    confusion = confusion_matrix(
        prediction, label, num_classes=num_classes, ignore_index=ignore_index
    )
    labelled = label != ignore_index
    right = prediction == label
    distance = boundary_distance(label, ignore_index=ignore_index)
    bins = np.minimum(distance, DISTANCES - 1).astype(np.uint8)
    thin = np.s_[::stride, ::stride]
    calibration = positives = None
    if confidence is not None:
        calibration = _confidence_counts(confidence, right[thin], labelled[thin])
    if foreground is not None:
        positives = _foreground_counts(foreground, label[thin], labelled[thin])
    return ImageCounts(
        cells=nonzero_cells(confusion),
        boundary=boundary_counts(prediction, label, num_classes, ignore_index=ignore_index),
        distance=np.stack([_histogram(bins, labelled), _histogram(bins, labelled & ~right)]),
        distance_before=None if before is None else _histogram(bins, labelled & (before != label)),
        confidence=calibration,
        foreground=positives,
        seconds=seconds,
    )


def _histogram(bins: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Pixels of every distance bin among those of a mask, (DISTANCES,) int64."""
    # float32, but whole numbers up to 2**24; larger images are counted in parts
    step = max(1, 2**24 // bins.shape[1])
    total = np.zeros(DISTANCES, np.int64)
    for start in range(0, len(bins), step):
        rows = np.s_[start : start + step]
        mask = where[rows].astype(np.uint8)
        counts = cv2.calcHist([bins[rows]], [0], mask, [DISTANCES], [0, DISTANCES])
        total += counts.ravel().astype(np.int64)
    return total


def _confidence_counts(
    confidence: np.ndarray, right: np.ndarray, labelled: np.ndarray
) -> np.ndarray:
    units = np.round(confidence[labelled].astype(np.float64) * CONFIDENCE_UNIT).astype(np.int64)
    bins = np.minimum(units * CONFIDENCES // CONFIDENCE_UNIT, CONFIDENCES - 1)
    keys = right[labelled] * CONFIDENCES + bins
    size = 2 * CONFIDENCES
    # sums of float64 are exact for whole numbers below 2**53
    sums = np.bincount(keys, weights=units, minlength=size).astype(np.int64)
    counts = np.bincount(keys, minlength=size)
    return np.stack([counts, sums]).reshape(2, 2, CONFIDENCES).transpose(1, 0, 2)


def _foreground_counts(
    foreground: np.ndarray, label: np.ndarray, labelled: np.ndarray
) -> np.ndarray:
    # bin j holds j / 100 < p <= (j + 1) / 100: exactly those that "p > threshold" tells apart
    # in the precision in which the model compares
    edges = (np.arange(1, THRESHOLDS) / THRESHOLDS).astype(foreground.dtype)
    bins = np.searchsorted(edges, foreground[labelled], side='left')
    keys = (label[labelled] == 1) * THRESHOLDS + bins
    return np.bincount(keys, minlength=2 * THRESHOLDS).reshape(2, THRESHOLDS)


def boundary_counts(
    prediction: np.ndarray, label: np.ndarray, num_classes: int, *, ignore_index: int = 255
) -> np.ndarray:
    """Boundary pixels of every class and how many of them are matched, (K, 8) int64.

    A boundary pixel of a class is one of its pixels with a 4-neighbor of another class or none;
    it is matched by a boundary pixel of the same class in the other map within a disk. Ignored
    pixels belong to no class in both maps, as in :mod:`openseg_plugin.evaluation.boundary`, and
    their rim is no boundary.

    Args:
        prediction: (H, W) class ids; others belong to no class.
        label: (H, W) class ids and ``ignore_index``.
        num_classes: K.
        ignore_index: marks ignored pixels of ``label``.

    Returns:
        Columns as :class:`ImageCounts` says.
    """
    dtype = np.uint8 if num_classes < 255 else np.int32
    ignored = label == ignore_index
    # K: no class; K + 1: ignored, in both maps
    maps = [
        np.where(
            ignored, num_classes + 1, np.where((one < 0) | (one >= num_classes), num_classes, one)
        ).astype(dtype)
        for one in (prediction, label)
    ]
    edges = [_class_edges(one, num_classes) for one in maps]
    counts = np.zeros((num_classes, 2 + 2 * len(RADII)), np.int64)
    for side, (own, other) in enumerate((edges, edges[::-1])):
        found = np.flatnonzero(own < num_classes)
        classes = own.reshape(-1)[found]
        counts[:, side] = np.bincount(classes, minlength=num_classes)[:num_classes]
        distance = _match_distance(own, other, found)
        for index, radius in enumerate(RADII):
            matched = classes[distance <= radius**2]
            column = 2 + side * len(RADII) + index
            counts[:, column] = np.bincount(matched, minlength=num_classes)[:num_classes]
    return counts


def _class_edges(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The class at boundary pixels, K elsewhere: (H, W)."""
    ignored = num_classes + 1
    edge = np.zeros(labels.shape, bool)
    for first, second in (
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        a, b = labels[first], labels[second]
        differs = (a != b) & (a != ignored) & (b != ignored)
        edge[first] |= differs
        edge[second] |= differs
    return np.where(edge & (labels < num_classes), labels, num_classes).astype(labels.dtype)


# Offsets of the largest disk from the center outwards, so that most pixels are matched early.
_OFFSETS = sorted(
    (row**2 + column**2, row, column)
    for row in range(-RADII[-1], RADII[-1] + 1)
    for column in range(-RADII[-1], RADII[-1] + 1)
    if row**2 + column**2 <= RADII[-1] ** 2
)


def _match_distance(own: np.ndarray, other: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Squared distance of boundary pixels to the nearest one of their class in another map.

    Args:
        own: (H, W) as :func:`_class_edges` gives it.
        other: of the other map.
        found: (n,) flat positions of the boundary pixels of ``own``.

    Returns:
        (n,) int64, larger than any squared radius where there is none within the largest.
    """
    margin = RADII[-1]
    width = own.shape[1] + 2 * margin
    none = np.iinfo(own.dtype).max  # no class has this number
    padded = np.pad(other, margin, constant_values=none).reshape(-1)
    rows, columns = np.divmod(found, own.shape[1])
    positions = (rows + margin) * width + columns + margin
    classes = own.reshape(-1)[found]
    distance = np.full(len(found), margin**2 + 1, np.int64)
    waiting = np.arange(len(found))
    for squared, row, column in _OFFSETS:
        hit = padded[positions + (row * width + column)] == classes
        if hit.any():
            distance[waiting[hit]] = squared
            waiting, positions, classes = waiting[~hit], positions[~hit], classes[~hit]
    return distance
