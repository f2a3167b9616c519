"""Damaged and senseless inputs are read or refused in a sentence; none crashes, hangs or runs.

A normal run tries a few of every kind, ``--slow`` tries 1,500.
"""

import os
import pickle
import signal

import bad_inputs
import input_content
import pytest

MOST_UNCLEAN = 10  # of 1,500


@pytest.mark.parametrize(
    ('number', 'seed'),
    [(96, 1), pytest.param(1500, 0, marks=pytest.mark.slow)],
    ids=['few', 'all'],
)
def test_bad_inputs_are_read_or_refused_in_words(tmp_path, number, seed):
    outcomes = bad_inputs.try_all(range(number), seed, tmp_path)
    said = bad_inputs.describe(outcomes)
    print(said)
    ends = {outcome.end for outcome in outcomes}
    assert len(outcomes) == number
    assert not ends & {'crash', 'hang', 'executed'}, said
    unclean = sum(outcome.end == 'unclean' for outcome in outcomes)
    assert unclean <= MOST_UNCLEAN * number // 1500, said
    assert sum(outcome.end == 'refused' for outcome in outcomes) > number // 3


def test_markers_of_the_corpus_would_be_left_by_the_ordinary_rules(tmp_path):
    """Else no execution would ever be seen."""
    marks = input_content.Marks(tmp_path / 'executed')
    pickle.loads(pickle.dumps(marks))
    assert (tmp_path / 'executed').is_dir()


def test_crash_and_hang_are_noticed_and_cost_one_input(tmp_path, monkeypatch):
    kinds = {
        'crash': lambda folder, chance: lambda: os._exit(3),
        'hang': lambda folder, chance: signal.pause,
        'image': bad_inputs.KINDS['image'],
    }
    monkeypatch.setattr(bad_inputs, 'KINDS', kinds)
    monkeypatch.setattr(bad_inputs, 'SECONDS', 2)
    outcomes = bad_inputs.try_all(range(6), 0, tmp_path)
    assert [outcome.end for outcome in outcomes][:2] == ['crash', 'hang']
    assert [outcome.kind for outcome in outcomes] == list(kinds) * 2
