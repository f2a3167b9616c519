import numpy as np
import pytest

from openseg_plugin.synth.canvas import NEAR, Camera

CAMERA = Camera(width=200, height=100, focal=150, horizon=40, vanish=90, eye=1.5, bend=0.0)


def test_project_puts_far_points_at_the_vanishing_point():
    assert CAMERA.project([[3.0, 0.0, 1e9]])[0] == pytest.approx([90, 40], abs=1e-4)


def test_project_of_points_at_eye_height_is_on_the_horizon():
    assert CAMERA.project([[2, 1.5, 7], [-5, 1.5, 70]])[:, 1] == pytest.approx([40, 40])


def test_project_of_points_behind_the_camera_stops_at_the_near_plane():
    assert np.array_equal(CAMERA.project([[1, 0, -5]]), CAMERA.project([[1, 0, NEAR]]))


@pytest.mark.parametrize('bend', [0.0, 0.001, -0.002])
def test_ground_is_the_inverse_of_project(bend):
    camera = Camera(200, 100, 150, 40, 90, 1.5, bend)
    x, z, first = camera.ground()
    row, column = 30, 17
    street = [[x[row, column], 0.0, z[row, 0]]]
    assert camera.project(street)[0] == pytest.approx([column, first + row], abs=1e-2)


def test_nearest_ground_is_at_the_bottom_row():
    assert CAMERA.project([[0, 0, CAMERA.nearest()]])[0, 1] == pytest.approx(100)
