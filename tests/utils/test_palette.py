"""Generated class colors keep the distances that their docstring promises."""

import numpy as np
import pytest
from in_one_test import in_one_test

from openseg_plugin.utils.palette import (
    ciede2000,
    distinct_colors,
    distinct_names,
    simulate_deuteranopia,
    to_lab,
)

# Pairs and differences of the test data of Sharma, Wu, Dalal (2005), table 1.
SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1, 2), (50, 0, 0), 2.3669),
    ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


def _least(lab: np.ndarray) -> float:
    distances = ciede2000(lab[:, None], lab[None])
    return distances[~np.eye(len(lab), dtype=bool)].min()


@pytest.mark.parametrize('number', [2, 11, 20])
def test_generated_colors_are_20_apart_and_10_under_deuteranopia(number):
    colors = np.array(distinct_colors(number))
    assert _least(to_lab(colors)) >= 20
    assert _least(to_lab(simulate_deuteranopia(colors))) >= 10


def test_more_than_20_colors_differ_and_keep_the_first_20():
    colors = distinct_colors(150)
    assert len(set(colors)) == 150
    assert colors[:20] == distinct_colors(20)


@in_one_test(('first', 'second', 'expected'), SHARMA)
def test_ciede2000_gives_the_published_differences(first, second, expected):
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(expected, abs=5e-5)
    assert ciede2000(np.array(second), np.array(first)) == pytest.approx(expected, abs=5e-5)


def test_lab_of_white_and_of_a_known_red():
    assert to_lab(np.array([255, 255, 255])) == pytest.approx([100, 0, 0], abs=0.02)
    assert to_lab(np.array([255, 0, 0])) == pytest.approx([53.24, 80.09, 67.2], abs=0.02)


def test_names_of_several_classes_are_told_apart_by_class_id():
    assert distinct_names(['a', 'b']) == ('a', 'b')
    assert distinct_names(['box', 'sky', 'box']) == ('box (0)', 'sky', 'box (2)')
    names = ['box (1)', 'box', 'box']
    assert len(set(distinct_names(names))) == 3
