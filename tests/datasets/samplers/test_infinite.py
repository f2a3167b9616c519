"""The endless order: the same for any number of processes, entered anywhere."""

import itertools
import pickle

import pytest

from openseg_plugin.datasets.samplers import InfiniteSampler, SampleIndex, infinite
from openseg_plugin.errors import DataError

SIZE = 7


def taken(sampler: InfiniteSampler, number: int) -> list[SampleIndex]:
    return list(itertools.islice(sampler, number))


def test_every_pass_has_every_sample_once_in_another_order():
    order = taken(InfiniteSampler(range(SIZE), seed=3), 3 * SIZE)
    passes = [order[k : k + SIZE] for k in range(0, 3 * SIZE, SIZE)]
    assert all(sorted(one) == list(range(SIZE)) for one in passes)
    assert len({tuple(one) for one in passes}) == 3
    assert [index.position for index in order] == list(range(3 * SIZE))


def test_without_shuffle_the_order_is_that_of_the_dataset():
    order = taken(InfiniteSampler(range(SIZE), shuffle=False, seed=0), 2 * SIZE)
    assert order == [*range(SIZE), *range(SIZE)]


@pytest.mark.parametrize('processes', [2, 3])
def test_processes_share_the_order_of_one(monkeypatch, processes):
    expected = taken(InfiniteSampler(range(SIZE), seed=5), 12 * processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(infinite, 'get_dist_info', lambda rank=rank: (rank, processes))
        shares.append(taken(InfiniteSampler(range(SIZE), seed=5), 12))
    together = [index for row in zip(*shares) for index in row]
    assert together == expected
    assert [i.position for i in together] == [i.position for i in expected]


@pytest.mark.parametrize('start', [1, SIZE, 3 * SIZE - 1])
def test_start_enters_the_order_there(start):
    sampler = InfiniteSampler(range(SIZE), seed=1)
    expected = taken(sampler, start + 10)[start:]
    sampler.start = start
    entered = taken(sampler, 10)
    assert entered == expected
    assert [i.position for i in entered] == [i.position for i in expected]


def test_neighboring_seeds_share_no_pass():
    # seed + number of the pass would make pass 1 of seed 0 pass 0 of seed 1
    one, other = (taken(InfiniteSampler(range(50), seed=seed), 200) for seed in (0, 1))
    passes = [{tuple(order[k : k + 50]) for k in range(0, 200, 50)} for order in (one, other)]
    assert not passes[0] & passes[1]


def test_empty_dataset_is_refused():
    with pytest.raises(DataError, match='has no samples'):
        InfiniteSampler([])


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (lambda index: index - 2, 4),
        (lambda index: index % 4, 2),
        (lambda index: pickle.loads(pickle.dumps(index)), 6),
    ],
)
def test_index_stays_itself_in_dataset_wrappers_and_processes(change, expected):
    changed = change(SampleIndex(6, 13, 304))
    assert changed == expected
    assert (changed.position, changed.seed) == (13, 304)
