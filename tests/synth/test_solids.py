import numpy as np
import pytest

from openseg_plugin.synth.canvas import Camera, Light
from openseg_plugin.synth.vehicles import Pose, Profile

CAMERA = Camera(200, 100, 150, 40, 100, 1.5, 0.0)
LIGHT = Light(np.ones(3), 1.0, 1, 0.0, np.zeros(3), 200.0)
BOX = Profile(np.array([(0, 0.3), (0, 1.4), (4, 1.4), (4, 0.3)]), 1.8, 0.9, 0.2)


def seen(pose: Pose) -> list[str]:
    return [face.name for face in BOX.faces(pose, CAMERA, LIGHT)]


@pytest.mark.parametrize(
    'turn, ahead', [(0.0, (0, 1)), (np.pi / 2, (1, 0)), (np.pi, (0, -1)), (-np.pi / 2, (-1, 0))]
)
def test_pose_turns_the_front_to_the_right(turn, ahead):
    point = Pose(3.0, 10.0, turn).place([[0, 0, 1]])[0]
    assert point == pytest.approx([3 + ahead[0], 0, 10 + ahead[1]])


@pytest.mark.parametrize(
    'pose, expected',
    [
        (Pose(0, 10, 0.0), {'0', '1'}),  # rear and roof
        (Pose(0, 10, np.pi), {'1', '2'}),  # front and roof
        (Pose(6, 10, 0.0), {'side', '0', '1'}),
        (Pose(0, 10, np.pi / 2), {'side', '1'}),
    ],
)
def test_faces_are_those_that_look_at_the_camera(pose, expected):
    assert set(seen(pose)) == expected - ({'1'} if CAMERA.eye < BOX.height else set())


def test_faces_come_from_far_to_near():
    faces = BOX.faces(Pose(4, 8, 0.4), CAMERA, LIGHT)
    distances = [face.distance for face in faces]
    assert distances == sorted(distances, reverse=True)


def test_profile_narrows_above_its_belt():
    assert BOX.half(0.5) == 0.9
    assert BOX.half(1.4) == pytest.approx(0.9 * 0.8)
    assert (BOX.length, BOX.height) == (4, 1.4)
