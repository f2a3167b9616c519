import numpy as np
import pytest
import torch

from openseg_plugin.evaluation.confusion import class_areas, class_metrics, confusion_matrix
from openseg_plugin.report.summary import majority_baseline


def test_baseline_of_known_counts():
    label = np.array([[0, 0, 0, 1, 1, 2, 255, 255]], np.uint8)
    got = majority_baseline([label], num_classes=5)
    assert (got.class_id, got.accuracy) == (0, 50.0)
    assert got.mean_iou == pytest.approx(50 / 3)


def test_baseline_equals_the_metric_on_the_constant_answer():
    rng = np.random.default_rng(3)
    labels = [rng.choice([0, 1, 1, 1, 3, 255], (9, 11)).astype(np.uint8) for _ in range(4)]
    got = majority_baseline(labels, num_classes=4)
    matrix = sum(
        confusion_matrix(torch.ones(9, 11, dtype=int), torch.from_numpy(label), num_classes=4)
        for label in labels
    )
    metrics = class_metrics(class_areas(matrix), names=['mIoU'])
    assert got.class_id == 1
    assert got.mean_iou == pytest.approx(100 * np.nanmean(metrics['IoU']))
    assert got.accuracy == pytest.approx(100 * metrics['aAcc'])


def test_baseline_without_any_class_is_refused():
    with pytest.raises(ValueError, match='no pixel'):
        majority_baseline([np.full((2, 2), 255)], num_classes=3)
