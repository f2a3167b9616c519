import pytest
import torch

from openseg_plugin.segfix.evaluator import SegFixMetric


def sample(boundary, direction, true_boundary, true_direction) -> dict:
    maps = dict(
        pred_boundary=boundary,
        pred_direction=direction,
        gt_boundary=true_boundary,
        gt_direction=true_direction,
    )
    return {name: dict(data=torch.tensor([[rows]])) for name, rows in maps.items()}


def test_metrics_are_those_of_all_pixels_together_in_percent():
    metric = SegFixMetric()
    first = sample([1, 1], [2, 2], [1, 0], [2, 5])
    second = sample([0, 0], [3, 4], [1, 255], [3, 255])
    metric.process({}, [first])
    metric.process({}, [second])
    metrics = metric.evaluate(2)
    assert metrics['boundary_precision'] == metrics['boundary_recall'] == pytest.approx(50)
    assert metrics['direction'] == pytest.approx(100)
    assert metrics['direction_predicted'] == pytest.approx(50)


def test_repeated_images_of_a_distributed_sampler_do_not_count():
    metric = SegFixMetric()
    metric.process({}, [sample([1], [2], [1], [2]), sample([1], [2], [0], [3])])
    assert metric.evaluate(1)['boundary_precision'] == pytest.approx(100)


def test_images_without_targets_give_no_metrics():
    metric = SegFixMetric()
    metric.process({}, [{'pred_boundary': dict(data=torch.zeros(1, 2, 2))}])
    assert metric.evaluate(1) == {}
