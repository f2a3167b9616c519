"""Random numbers of a sample depend on seed and position, on nothing else."""

import random

import numpy as np
import pytest
import torch

from openseg_plugin.datasets.samplers import SampleIndex
from openseg_plugin.datasets.transforms.loading import SeedSample


def drawn(index: int) -> tuple[float, float, float]:
    """One number of each generator after the transform."""
    results = {'sample_idx': index, 'img_path': 'a.png'}
    assert SeedSample()(results) is results
    return random.random(), float(np.random.rand()), torch.rand(()).item()


def test_same_position_draws_the_same_numbers():
    first = drawn(SampleIndex(4, 100, 7))
    torch.rand(5), np.random.rand(5), random.random()
    assert drawn(SampleIndex(4, 100, 7)) == first


@pytest.mark.parametrize('other', [SampleIndex(4, 101, 7), SampleIndex(4, 100, 8)])
def test_other_position_or_seed_draws_other_numbers(other):
    assert not set(drawn(SampleIndex(4, 100, 7))) & set(drawn(other))


def test_generators_differ_from_each_other():
    assert len(set(drawn(SampleIndex(0, 0, 0)))) == 3


def test_index_of_another_sampler_leaves_the_generators_alone():
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    SeedSample()({'sample_idx': 4})
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
