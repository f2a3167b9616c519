import pytest
import torch

from openseg_plugin.layers.direction_field import (
    BOUNDARY_METRICS,
    boundary_counts,
    boundary_metrics,
)

TRUE = torch.tensor([[[1, 1, 1, 0, 0, 255]]])
TRUE_DIRECTIONS = torch.tensor([[[2, 3, 4, 5, 6, 255]]])


def test_counts_are_those_counted_by_hand():
    found = torch.tensor([[[1, 1, 0, 1, 0, 1]]])
    directions = torch.tensor([[[2, 0, 4, 5, 0, 255]]])
    counts = boundary_counts(found, directions, TRUE, TRUE_DIRECTIONS)
    # hits, found, there, right directions on the true and on the predicted boundary
    assert counts.tolist() == [2, 3, 3, 2, 2]
    metrics = dict(zip(BOUNDARY_METRICS, boundary_metrics(counts).tolist()))
    assert metrics['boundary_precision'] == pytest.approx(2 / 3)
    assert metrics['boundary_recall'] == pytest.approx(2 / 3)
    assert metrics['boundary_f'] == pytest.approx(2 / 3)
    assert metrics['direction'] == metrics['direction_predicted'] == pytest.approx(2 / 3)


def test_counts_of_parts_add_up_to_those_of_the_whole():
    torch.manual_seed(0)
    maps = [torch.randint(0, high, (4, 5, 7)) for high in (2, 8, 2, 8)]
    parts = sum(boundary_counts(*(one[i : i + 1] for one in maps)) for i in range(4))
    assert torch.equal(parts, boundary_counts(*maps))


def test_metrics_of_nothing_are_zero():
    assert boundary_metrics(torch.zeros(5, dtype=torch.long)).tolist() == [0] * 5
