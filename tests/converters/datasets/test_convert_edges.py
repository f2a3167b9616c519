"""Edge maps: which pixel of a pair is marked, ignored pixels, widths."""

import numpy as np
import pytest

from openseg_plugin.converters.datasets.core.pairs import edge_map


def marked(rows: list[list[int]], width: int = 1) -> list[list[int]]:
    return (edge_map(np.array(rows, np.uint8), width=width) // 255).tolist()


def test_edge_map_vertical_pair_marks_lower_and_diagonals_mark_upper() -> None:
    # the row above the change is marked by its diagonal pairs, the row below by the vertical ones
    assert marked([[1, 1, 1], [2, 2, 2], [2, 2, 2]]) == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_edge_map_vertical_pair_alone_marks_lower() -> None:
    assert marked([[1], [2], [2]]) == [[0], [1], [0]]


def test_edge_map_horizontal_pair_marks_left() -> None:
    assert marked([[1, 1, 2, 2]]) == [[0, 1, 0, 0]]


@pytest.mark.parametrize(
    'rows, expected',
    [
        ([[1, 255], [255, 2]], [[1, 0], [0, 0]]),
        ([[255, 1], [2, 255]], [[0, 1], [0, 0]]),
    ],
)
def test_edge_map_diagonal_pair_marks_upper(rows, expected) -> None:
    assert marked(rows) == expected


def test_edge_map_next_to_ignored_pixels_marks_nothing() -> None:
    assert marked([[1, 255, 2], [1, 255, 2]]) == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize('width, first, last', [(1, 5, 5), (3, 4, 6), (4, 4, 7), (10, 1, 10)])
def test_edge_map_width_widens_and_even_widths_reach_further_right(width, first, last) -> None:
    edge = np.flatnonzero(marked([[1] * 6 + [2] * 9], width)[0])
    assert edge.tolist() == list(range(first, last + 1))
