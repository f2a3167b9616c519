"""Counted memory of tensors: by hand, and on the meta device."""

import pytest
import torch

from openseg_plugin.utils.live_tensors import LiveTensors, live_peak

FLOAT = 4  # bytes


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_live_tensors_count_what_is_there_at_one_time(device):
    with LiveTensors() as counter:
        first = torch.empty(1000, device=device)
        second = first + 1
        assert counter.live == 2000 * FLOAT
        del first
        assert counter.live == 1000 * FLOAT
        third = second * 2
        view = third.view(10, 100)  # no memory of its own, yet it keeps that of the third
        del third
        assert counter.live == 2000 * FLOAT
        del view, second
    assert counter.live == 0
    assert counter.peak == 2000 * FLOAT


def test_live_tensors_in_place_are_counted_once():
    with LiveTensors() as counter:
        maps = torch.zeros(1000).relu_().add_(1)
        assert counter.live == counter.peak == maps.numel() * FLOAT


def test_live_tensors_of_half_precision_count_half():
    maps = torch.ones(1000, device='meta')
    assert live_peak(maps.half) == 1000 * FLOAT // 2


def test_live_peak_leaves_out_what_was_there_before():
    weights = torch.ones(100, 100)
    assert live_peak(lambda: (weights @ weights).sum()) == (100 * 100 + 1) * FLOAT


@pytest.mark.parametrize('change', [torch.Tensor.t, torch.Tensor.relu_])
def test_live_peak_neither_views_nor_changes_of_weights_are_made(change):
    weights = torch.ones(100, 100)
    assert live_peak(lambda: change(weights)) == 0
