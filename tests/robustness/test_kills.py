"""Trainings that are killed at random moments end in the same bits as those left alone."""

import kills
import pytest


@pytest.mark.parametrize(
    ('seeds', 'each'),
    [([1, 2], 2), pytest.param(list(range(100, 136)), 5, marks=pytest.mark.slow(minutes=3))],
    ids=['few', 'many'],
)
def test_killed_trainings_resume_exactly(tmp_path, seeds, each):
    figures = kills.compare(tmp_path, seeds, kills=each)
    print(figures)
    assert not figures.failures, '\n'.join(figures.failures)
    assert figures.chains == len(seeds)
    assert sum(figures.kills.values()) > len(seeds)


@pytest.mark.slow(minutes=5)
@pytest.mark.distributed
def test_killed_trainings_of_two_processes_resume_exactly(tmp_path):
    """The launcher, one of the processes, or a loading process of one is killed, in turn."""
    figures = kills.compare_two(tmp_path, list(range(4)), kills=5)
    print(figures)
    assert not figures.failures, '\n'.join(figures.failures)
    assert {who for who, _ in figures.kills} == {'launcher of two', 'rank of two', 'loader of two'}
    assert sum(figures.kills.values()) > 12
