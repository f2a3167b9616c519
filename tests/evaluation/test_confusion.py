"""evaluation/confusion.py: exact counts and mmseg's metrics."""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmseg.evaluation.metrics import IoUMetric as MMSegIoUMetric

from openseg_plugin.errors import DataError
from openseg_plugin.evaluation import confusion
from openseg_plugin.evaluation.confusion import class_areas, class_metrics, confusion_matrix


def counted(prediction, label, classes, ignore):
    matrix = np.zeros((classes, classes + 1), np.int64)
    for p, t in zip(prediction.flatten().tolist(), label.flatten().tolist()):
        if t != ignore:
            matrix[t, p if 0 <= p < classes else classes] += 1
    return matrix


@in_one_test('dtype', [torch.int64, torch.uint8, torch.int32])
@in_one_test(
    ('classes', 'ignore'), [(2, 255), (19, 255), (19, 0), (255, 255), (256, 300), (400, 1000)]
)
def test_confusion_matrix_equals_counting_one_by_one(classes, ignore, dtype):
    limit = min(classes, 256) if dtype == torch.uint8 else classes
    prediction = torch.randint(0, limit, (13, 17)).to(dtype)
    label = torch.randint(0, limit, (13, 17)).to(dtype)
    if dtype != torch.uint8 or ignore < 256:
        label[2:4] = ignore
    matrix = confusion_matrix(prediction, label, num_classes=classes, ignore_index=ignore)
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix, counted(prediction, label, classes, ignore))


@in_one_test('stray', [7, 200, 255, 300, -1])
def test_confusion_matrix_of_a_prediction_outside_the_classes_counts_as_no_class(stray):
    prediction, label = torch.full((2, 3), stray), torch.ones(2, 3).long()
    matrix = confusion_matrix(prediction, label, num_classes=5)
    assert matrix[1, 5] == 6
    assert matrix.sum() == 6


@pytest.mark.parametrize('stray', [5, 254, 256, -3])
def test_confusion_matrix_of_a_label_outside_the_classes_is_refused(stray):
    label = torch.zeros(4, 4).long()
    label[0, :3] = stray
    with pytest.raises(DataError, match=rf'{stray} \(3 pixels\)'):
        confusion_matrix(torch.zeros(4, 4).long(), label, num_classes=5)


def test_confusion_matrix_of_two_sizes_is_refused():
    with pytest.raises(DataError, match=r'\(4, 4\).*\(2, 8\)'):
        confusion_matrix(torch.zeros(2, 8), torch.zeros(4, 4), num_classes=5)


def test_confusion_matrix_above_the_exact_range_of_float32_is_counted_in_parts(monkeypatch):
    monkeypatch.setattr(confusion, '_PIXELS', 64)
    prediction, label = torch.randint(0, 4, (2, 20, 30))
    matrix = confusion_matrix(prediction, label, num_classes=4)
    assert np.array_equal(matrix, counted(prediction, label, 4, 255))


@pytest.mark.parametrize('names', [['mIoU'], ['mDice'], ['mFscore'], ['mIoU', 'mFscore']])
def test_class_metrics_are_those_of_mmseg(names):
    prediction = torch.randint(0, 6, (30, 40))
    label = torch.randint(0, 5, (30, 40))  # class 5 has no label, class 6 does not occur
    label[:3] = 255
    stock = MMSegIoUMetric.intersect_and_union(prediction, label, 7, 255)
    areas = class_areas(confusion_matrix(prediction, label, num_classes=7))
    assert areas.tolist() == [stock[i].long().tolist() for i in (0, 2, 3)]
    expected = MMSegIoUMetric.total_area_to_metrics(*stock, names, beta=2)
    metrics = class_metrics(areas, names=names, beta=2)
    assert list(metrics) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(metrics[name], values, rtol=1e-6)
