import numpy as np
import pytest
import torch

from openseg_plugin.evaluation.confusion import class_areas, class_metrics, confusion_matrix
from openseg_plugin.report.metrics import majority_baseline


def test_baseline_of_known_counts():
    confusion = np.array([[1, 0, 2, 0], [2, 0, 0, 0], [0, 0, 0, 1]])  # the last: predicted none
    got = majority_baseline(confusion)
    assert (got.class_id, got.accuracy) == (0, 0.5)
    assert got.mean_iou == pytest.approx(0.5 / 3)


def test_baseline_equals_the_metric_on_the_constant_answer():
    rng = np.random.default_rng(3)
    labels = [rng.choice([0, 1, 1, 1, 3, 255], (9, 11)).astype(np.uint8) for _ in range(4)]
    matrix = sum(
        confusion_matrix(torch.ones(9, 11, dtype=int), torch.from_numpy(label), num_classes=4)
        for label in labels
    )
    got = majority_baseline(np.asarray(matrix))
    metrics = class_metrics(class_areas(matrix), names=['mIoU'])
    assert got.class_id == 1
    assert got.mean_iou == pytest.approx(np.nanmean(metrics['IoU']))
    assert got.accuracy == pytest.approx(metrics['aAcc'])


def test_baseline_without_any_class_is_unknown():
    assert np.isnan(majority_baseline(np.zeros((3, 4), int)).mean_iou)
