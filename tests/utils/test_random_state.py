"""Random states go through a checkpoint file and come back."""

import random

import numpy as np
import pytest
import torch

from openseg_plugin.converters.checkpoints import read_checkpoint, write_checkpoint
from openseg_plugin.utils.random_state import preserve_rng_state, random_state, set_random_state


def draw() -> list[float]:
    """Numbers of every generator; normal ones too, of which numpy and Python keep one in store."""
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        torch.rand(()).item(),
        torch.randn(()).item(),
    ]


def test_state_comes_back_through_a_file(tmp_path):
    draw()
    write_checkpoint({'state': random_state()}, tmp_path / 'a.pth')
    expected = draw()
    set_random_state(read_checkpoint(tmp_path / 'a.pth')['state'])
    assert draw() == expected


def test_state_of_a_machine_with_a_gpu_is_used_without(monkeypatch):
    state = random_state() | {'cuda': torch.zeros(16, dtype=torch.uint8)}
    expected = draw()
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    set_random_state(state)
    assert draw() == expected


def test_kept_state_comes_back_even_after_an_error():
    expected = random_state()
    with pytest.raises(ZeroDivisionError), preserve_rng_state() as kept:
        draw()
        raise ZeroDivisionError
    assert torch.equal(kept['torch'], expected['torch'])
    assert random.getstate() == expected['python']
    assert torch.equal(torch.get_rng_state(), expected['torch'])
    assert torch.equal(random_state()['numpy'][1], expected['numpy'][1])
