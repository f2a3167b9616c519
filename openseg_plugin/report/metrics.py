"""Metrics of a report from integer counts. Fractions of 1, NaN where there is nothing to divide by.

Legend: K classes. Counts: :mod:`openseg_plugin.report.collect`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openseg_plugin.evaluation.confusion import class_areas, class_metrics
from openseg_plugin.report.collect import (
    CONFIDENCE_UNIT,
    DISTANCES,
    RADII,
    THRESHOLDS,
    ImageCounts,
)

BOUNDARY_NAMES = tuple(f'BF@{radius}' for radius in RADII)
CLASS_METRICS = ('IoU', 'Acc', 'Precision', 'Fscore', *BOUNDARY_NAMES)
"""Names in :func:`report_metrics`, in the order of the tables; Acc is recall."""


@dataclass(frozen=True)
class Totals:
    """Counts summed over images; the fields of :class:`ImageCounts`, None where no image has it."""

    confusion: np.ndarray
    boundary: np.ndarray
    distance: np.ndarray
    distance_before: np.ndarray | None
    confidence: np.ndarray | None
    foreground: np.ndarray | None
    seconds: float
    images: int


def sum_counts(counts: Sequence[ImageCounts], *, num_classes: int) -> Totals:
    """Sum over images; of no image at all, zeros."""

    confusion = np.zeros((num_classes, num_classes + 1), np.int64)
    for one in counts:
        true, predicted, pixels = one.cells.T
        confusion[true, predicted] += pixels

    def total(name: str, shape: tuple[int, ...]) -> np.ndarray:
        parts = [getattr(one, name) for one in counts]
        return np.sum([np.zeros(shape, np.int64), *parts], axis=0)

    def optional(name: str) -> np.ndarray | None:
        parts = [getattr(one, name) for one in counts]
        # a curve of some images only would be compared with totals of all of them
        return np.sum(parts, axis=0) if parts and all(p is not None for p in parts) else None

    return Totals(
        confusion=confusion,
        boundary=total('boundary', (num_classes, 2 + 2 * len(RADII))),
        distance=total('distance', (2, DISTANCES)),
        distance_before=optional('distance_before'),
        confidence=optional('confidence'),
        foreground=optional('foreground'),
        seconds=sum(one.seconds for one in counts),
        images=len(counts),
    )


def report_metrics(areas: np.ndarray, boundary: np.ndarray) -> dict[str, np.ndarray]:
    """``CLASS_METRICS`` -> (..., K) of areas (..., 3, K) and boundary counts (..., K, 8)."""
    metrics = class_metrics(areas, names=('mIoU', 'mFscore'))
    scores = dict(zip(BOUNDARY_NAMES, np.moveaxis(boundary_f(boundary), -1, 0)))
    return {name: (metrics | scores)[name] for name in CLASS_METRICS}


def boundary_f(boundary: np.ndarray) -> np.ndarray:
    """Boundary F-score for each of ``RADII``, (..., K, 3), of counts (..., K, 8).

    NaN for a class without a boundary in both maps, 0 with one in one of them only.
    """
    predicted, true = boundary[..., :1], boundary[..., 1:2]
    number = len(RADII)
    precision = boundary[..., 2 : 2 + number] / np.maximum(predicted, 1)
    recall = boundary[..., 2 + number :] / np.maximum(true, 1)
    score = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return np.where(predicted + true > 0, score, np.nan)


def mean_metrics(
    areas: np.ndarray, boundary: np.ndarray, confidence: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """aAcc, then the mean over classes of every class metric, mean confidence and ECE if known.

    Args:
        areas: (..., 3, K) of :func:`class_areas`.
        boundary: (..., K, 8).
        confidence: (..., 2, 2, bins), or None.

    Returns:
        Arrays (...), NaN where no class has a value.
    """
    both, _, labelled = np.moveaxis(areas.sum(axis=-1), -1, 0)
    metrics = {'aAcc': ratio(both, labelled)}
    for name, values in report_metrics(areas, boundary).items():
        metrics[f'm{name}'] = nan_mean(values)
    if confidence is not None:
        metrics['confidence'] = mean_confidence(confidence)
        metrics['ECE'] = calibration_error(confidence)
    return metrics


def total_metrics(totals: Totals) -> dict[str, float]:
    """:func:`mean_metrics` of sums over images."""
    areas = class_areas(totals.confusion)
    metrics = mean_metrics(areas, totals.boundary, totals.confidence)
    return {name: float(value) for name, value in metrics.items()}


@dataclass(frozen=True)
class Baseline:
    """Scores of the constant answer, which calls every pixel the most frequent class.

    Attributes:
        class_id: the most frequent class.
        accuracy: its fraction of the labelled pixels.
        mean_iou: over the classes that occur; all others than it score 0.
    """

    class_id: int
    accuracy: float
    mean_iou: float


def majority_baseline(confusion: np.ndarray) -> Baseline:
    """The least to beat on labels of these counts (K, K + 1); NaN where no pixel has a class."""
    pixels = confusion.sum(axis=1)
    best = int(pixels.argmax())
    # IoU of the answer "always best": its pixels over all pixels
    fraction = float(ratio(pixels[best], pixels.sum()))
    return Baseline(best, fraction, fraction / max(int(np.count_nonzero(pixels)), 1))


def nan_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of the values that are known, NaN where there is none."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64, NaN where whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean_confidence(confidence: np.ndarray) -> np.ndarray:
    """Mean confidence (...) of counts (..., 2, 2, bins)."""
    pixels, units = np.moveaxis(confidence.sum(axis=(-3, -1)), -1, 0)
    return ratio(units, pixels) / CONFIDENCE_UNIT


def reliability(confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, mean confidence and accuracy of every bin, (..., bins) each."""
    pixels, units = np.moveaxis(confidence.sum(axis=-3), -2, 0)
    means = ratio(units, pixels) / CONFIDENCE_UNIT
    return pixels, means, ratio(confidence[..., 1, 0, :], pixels)


def calibration_error(confidence: np.ndarray) -> np.ndarray:
    """Expected calibration error (Guo et al., ICML 2017, Eq. 3) of counts (..., 2, 2, bins)."""
    pixels, means, right = reliability(confidence)
    gaps = np.nan_to_num(np.abs(means - right))
    return ratio((pixels * gaps).sum(axis=-1), pixels.sum(axis=-1))


@dataclass(frozen=True)
class ThresholdCurve:
    """Precision, recall and IoU of the foreground at every threshold, (n,) each."""

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    iou: np.ndarray

    @property
    def best(self) -> int:
        """Position of the largest IoU, which is that of the largest F-score, too.

        Of neighbors that are equally good the middle one, the farthest from doing worse.
        """
        is_best = np.nan_to_num(self.iou) == np.nan_to_num(self.iou).max()
        first = int(is_best.argmax())
        length = int((~is_best[first:]).argmax()) or len(is_best) - first
        return first + length // 2


def threshold_curve(foreground: np.ndarray) -> ThresholdCurve:
    """Curve of a one-channel model over thresholds 0.01 .. 0.99, of counts (2, THRESHOLDS)."""
    # pixels above threshold j / 100 are those of the bins from j on
    above = foreground[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    false, hits = above
    positives = foreground[1].sum()
    return ThresholdCurve(
        thresholds=np.arange(1, THRESHOLDS) / THRESHOLDS,
        precision=ratio(hits, hits + false),
        recall=ratio(hits, np.full(hits.shape, positives)),
        iou=ratio(hits, positives + false),
    )
