import numpy as np
import pytest
from in_one_test import in_one_test

from openseg_plugin.synth.scene import area, clip, to_polygon

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])


def test_area_of_a_square_in_both_directions():
    assert area(SQUARE) == area(SQUARE[::-1]) == 16


@in_one_test(
    'shift, expected',
    [((0, 0), 16), ((-2, 0), 8), ((-2, -2), 4), ((8, 0), 8), ((0, 8), 8), ((50, 0), 0)],
)
def test_clip_keeps_the_part_inside(shift, expected):
    inside = clip(SQUARE + shift, right=10, bottom=10)
    assert (area(inside) if len(inside) else 0) == expected


def test_clip_of_a_polygon_around_the_image_is_the_image():
    inside = clip(SQUARE * 100 - 50, right=10, bottom=8)
    assert area(inside) == 80


def test_clip_of_a_rounding_outside_moves_points_only():
    points = SQUARE * 2.5 + [0.5, 0.5]
    assert clip(points, right=10, bottom=10).tolist() == np.minimum(points, 10).tolist()


def test_polygon_is_in_whole_pixels_of_the_image():
    polygon = to_polygon(SQUARE * 4 + 0.5, factor=2, size=(50, 50))
    assert polygon == [[0, 0], [8, 0], [8, 8], [0, 8]]


@pytest.mark.parametrize('scale', [0.1, 0.3])
def test_polygon_that_is_too_small_is_none(scale):
    assert to_polygon(SQUARE * scale + 5, factor=1, size=(50, 50)) is None


def test_polygon_outside_the_image_is_none():
    assert to_polygon(SQUARE - 90, factor=1, size=(50, 50)) is None
