"""Counts of a report: exact sums, boundaries, distances, confidences, thresholds."""

import numpy as np
import pytest

from openseg_plugin.errors import DataError
from openseg_plugin.evaluation.confusion import class_areas, class_metrics, confusion_matrix
from openseg_plugin.report import metrics
from openseg_plugin.report.collect import RADII, boundary_counts, count_image

K = 5


def _maps(seed: int, size=(23, 37)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = (
        rng.integers(0, K, (6, 8)).repeat(4, 0).repeat(5, 1)[: size[0], : size[1]].astype(np.uint8)
    )
    prediction = np.roll(label, seed % 3, axis=1)
    prediction[rng.random(size) < 0.1] = K  # no class
    prediction[rng.random(size) < 0.1] = 2
    label[rng.random(size) < 0.05] = 255
    return prediction, label


def test_sums_over_images_equal_the_metric_exactly():
    counts, areas = [], np.zeros((3, K), np.int64)
    for seed in range(4):
        prediction, label = _maps(seed)
        counts.append(count_image(prediction, label, num_classes=K))
        areas += class_areas(confusion_matrix(prediction, label, num_classes=K))
    expected = class_metrics(areas, names=('mIoU', 'mFscore'))
    found = metrics.total_metrics(metrics.sum_counts(counts, num_classes=K))
    assert found['aAcc'] == expected['aAcc']
    for name in ('IoU', 'Acc', 'Precision'):
        assert found[f'm{name}'] == np.nanmean(expected[name])


def _brute_force(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The definition, by distances between all pairs of boundary pixels."""
    ignored = label == 255
    counts = np.zeros((K, 2 + 2 * len(RADII)), np.int64)
    points = []
    for ids in (prediction, label):
        found: dict[int, list] = {k: [] for k in range(K)}
        for row in range(ids.shape[0]):
            for column in range(ids.shape[1]):
                if ignored[row, column] or ids[row, column] >= K:
                    continue
                for r, c in (
                    (row - 1, column),
                    (row + 1, column),
                    (row, column - 1),
                    (row, column + 1),
                ):
                    inside = 0 <= r < ids.shape[0] and 0 <= c < ids.shape[1]
                    if inside and not ignored[r, c] and ids[r, c] != ids[row, column]:
                        found[int(ids[row, column])].append((row, column))
                        break
        points.append(found)
    for k in range(K):
        for side in range(2):
            own, other = np.array(points[side][k]), np.array(points[1 - side][k])
            counts[k, side] = len(own)
            if not len(own) or not len(other):
                continue
            squared = ((own[:, None] - other[None]) ** 2).sum(axis=-1).min(axis=1)
            for index, radius in enumerate(RADII):
                counts[k, 2 + side * len(RADII) + index] = (squared <= radius**2).sum()
    return counts


@pytest.mark.parametrize('seed', range(3))
def test_boundary_counts_are_those_of_the_definition(seed):
    prediction, label = _maps(seed)
    assert np.array_equal(boundary_counts(prediction, label, K), _brute_force(prediction, label))


def test_boundary_f_of_a_shifted_edge_depends_on_the_tolerance():
    label = np.zeros((10, 30), np.uint8)
    label[:, 15:] = 1
    shifted = np.zeros_like(label)
    shifted[:, 17:] = 1
    scores = metrics.boundary_f(boundary_counts(shifted, label, 3))
    assert scores[0].tolist() == [0, 1, 1]
    assert scores[1].tolist() == [0, 1, 1]
    assert np.isnan(scores[2]).all()


def test_distances_say_where_the_errors_are():
    label = np.zeros((4, 40), np.uint8)
    label[:, 20:] = 1
    prediction = label.copy()
    prediction[:, 19] = 1  # at the boundary
    prediction[:, 10] = 1  # 9 pixels inside
    label[:, 8] = 255  # its rim is no boundary
    pixels, wrong = count_image(prediction, label, num_classes=2).distance
    assert pixels.sum() == label.size - 4
    assert wrong.nonzero()[0].tolist() == [0, 9]
    assert wrong.sum() == 8


def test_calibration_error_is_that_of_its_definition():
    label = np.zeros((1, 4), np.uint8)
    prediction = np.array([[0, 0, 1, 0]], np.uint8)
    confidence = np.array([[0.92, 0.92, 0.92, 0.62]], np.float32)
    counts = count_image(prediction, label, num_classes=2, confidence=confidence).confidence
    # three pixels at 0.92 of which two are right, one at 0.62 that is right
    expected = 3 / 4 * (0.92 - 2 / 3) + 1 / 4 * (1 - 0.62)
    assert metrics.calibration_error(counts) == pytest.approx(expected, abs=1e-9)
    assert metrics.mean_confidence(counts) == pytest.approx((3 * 0.92 + 0.62) / 4, abs=1e-9)


def test_best_threshold_tells_the_classes_apart():
    label = np.array([[0, 0, 0, 1, 1, 255]], np.uint8)
    probability = np.array([[0.1, 0.2, 0.35, 0.4, 0.9, 0.99]], np.float32)
    counts = count_image(label, label, num_classes=2, foreground=probability).foreground
    curve = metrics.threshold_curve(counts)
    # 0.35 itself is not above 0.35, so 0.35 to 0.39 are equally good: the middle one
    assert curve.thresholds[curve.best] == 0.37
    assert curve.iou[33] < curve.iou[34] == 1
    assert curve.iou[curve.best] == 1
    assert curve.recall[-1] == 0
    assert curve.precision[0] == 2 / 5


def test_an_image_without_any_ground_truth_counts_nothing():
    counts = count_image(np.zeros((3, 3), np.uint8), np.full((3, 3), 255, np.uint8), num_classes=2)
    assert counts.confusion.sum() == 0
    assert counts.distance.sum() == 0
    assert np.isnan(metrics.total_metrics(metrics.sum_counts([counts], num_classes=2))['mIoU'])


def test_wrong_sizes_are_refused():
    with pytest.raises(DataError):
        count_image(np.zeros((3, 3), np.uint8), np.zeros((3, 4), np.uint8), num_classes=2)
