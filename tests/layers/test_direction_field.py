"""layers/direction_field.py: bins, vectors, targets, flips; arrays and tensors alike."""

import math

import numpy as np
import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.layers.direction_field import (
    angle_to_direction,
    boundary_targets,
    decode_angles,
    direction_to_offset,
    direction_vectors,
    hflip_angles,
)

EIGHT = ((0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1))
DEGREES = np.arange(-180, 181, 2, dtype=np.int16)


def test_direction_vectors_of_eight_are_the_published_ones():
    assert direction_vectors(8) == EIGHT


def test_direction_vectors_of_four_are_diagonals_or_axes():
    assert direction_vectors(4) == ((-1, -1), (-1, 1), (1, 1), (1, -1))
    assert direction_vectors(4, align_axis=True) == ((0, -1), (-1, 0), (0, 1), (1, 0))


@pytest.mark.parametrize(('number', 'radius'), [(8, 1), (16, 2), (32, 4)])
def test_direction_vectors_walk_the_ring_in_order_of_the_angle(number, radius):
    vectors = direction_vectors(number)
    assert len(set(vectors)) == number
    assert {max(abs(row), abs(column)) for row, column in vectors} == {radius}
    angles = [math.degrees(math.atan2(row, column)) for row, column in vectors[1:]]
    assert angles == sorted(angles)
    assert vectors[0] == (0, -radius)


@pytest.mark.parametrize('number', [0, 5, 19, 64])
def test_direction_vectors_of_another_number_are_refused(number):
    with pytest.raises(ValueError, match=f'num_directions={number}'):
        direction_vectors(number)


@pytest.mark.parametrize(('number', 'align_axis'), [(4, False), (4, True), (8, False)])
def test_angle_to_direction_is_the_nearest_vector(number, align_axis):
    vectors = np.array(direction_vectors(number, align_axis=align_axis))
    ours = angle_to_direction(DEGREES, num_directions=number, align_axis=align_axis)
    radians = np.radians(DEGREES)
    steps = np.stack([np.sin(radians), np.cos(radians)], axis=1)
    closeness = steps @ (vectors / np.hypot(*vectors.T)[:, None]).T
    best = closeness.max(axis=1)
    assert np.allclose(closeness[np.arange(len(ours)), ours], best)


@in_one_test(
    ('number', 'angle', 'expected'),
    [
        (8, -180, 0),
        (8, 180, 0),
        (8, -157.5, 0),
        (8, -157.4, 1),
        (8, 157.5, 7),
        (8, 157.6, 0),
        (8, 0, 4),
        (16, 0, 8),
        (16, 11.25, 8),
        (16, 11.3, 9),
        (32, 0, 16),
        (4, -180, 0),
        (4, -90, 1),
        (4, 180, 3),
    ],
)
def test_angle_to_direction_at_the_bounds_of_a_bin(number, angle, expected):
    angles = torch.tensor([angle], dtype=torch.float32)
    assert angle_to_direction(angles, num_directions=number).tolist() == [expected]


def test_decode_angles_gives_two_degrees_for_each_byte():
    stored = np.arange(181, dtype=np.uint8)
    angles = decode_angles(stored)
    assert angles.dtype == np.int16
    np.testing.assert_array_equal(angles, np.arange(-180, 181, 2))


def test_direction_to_offset_moves_only_boundary_pixels_with_a_direction():
    directions = torch.tensor([[0, 2, 255], [7, 4, 1]], dtype=torch.uint8)
    boundary = torch.tensor([[1, 0, 1], [1, 1, 0]])
    offsets = direction_to_offset(directions, boundary)
    assert offsets.dtype == torch.int8
    assert offsets.tolist() == [[[0, -1], [0, 0], [0, 0]], [[1, -1], [0, 1], [0, 0]]]
    assert direction_to_offset(directions)[0, 1].tolist() == [-1, 0]


def test_boundary_targets_of_a_small_map():
    depth = np.array([[0, 1, 5, 6]], np.uint8)
    angles = np.array([[0, 90, -90, 180]], np.int16)
    labels = np.array([[255, 3, 3, 3]], np.uint8)
    boundary, directions = boundary_targets(depth, angles, labels)
    assert boundary.tolist() == [[255, 1, 1, 0]]
    assert directions.tolist() == [[255, 6, 2, 0]]
    assert boundary.dtype == directions.dtype == np.uint8
    boundary, _ = boundary_targets(depth, angles, labels, min_distance=2, max_distance=6)
    assert boundary.tolist() == [[255, 0, 1, 1]]


@in_one_test(
    ('angle', 'flipped'),
    [(0, 180), (180, 0), (-180, 0), (90, 90), (-90, -90), (30, 150), (-30, -150)],
)
def test_hflip_angles_mirrors_every_direction(angle, flipped):
    assert hflip_angles(np.array([[angle]], np.int16)).tolist() == [[flipped]]


def test_hflip_angles_turns_the_map_and_twice_is_nothing():
    angles = torch.tensor([[10, 20, -100]], dtype=torch.int16)
    assert hflip_angles(angles).tolist() == [[-80, 160, 170]]
    assert hflip_angles(hflip_angles(angles)).tolist() == angles.tolist()


def test_hflip_angles_keeping_horizontal_ones_is_the_original():
    angles = np.array([[0, 180, -180, 30]], np.int16)
    assert hflip_angles(angles, keep_horizontal=True).tolist() == [[150, -180, 180, 0]]


def test_hflip_angles_then_direction_points_to_the_mirrored_pixel():
    """A step in the flipped image is the flipped step, for every direction class."""
    vectors = np.array(direction_vectors(8))
    angles = np.degrees(np.arctan2(*vectors.T)).astype(np.float32)[None]
    steps = direction_to_offset(angle_to_direction(hflip_angles(angles)))
    np.testing.assert_array_equal(steps[0], (vectors * [1, -1])[::-1])


def test_functions_give_the_kind_they_were_given_and_leave_it():
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    stored.flags.writeable = False
    assert isinstance(decode_angles(stored), np.ndarray)
    assert isinstance(decode_angles(torch.tensor(stored)), torch.Tensor)
    flipped = hflip_angles(decode_angles(stored))
    assert isinstance(flipped, np.ndarray)
    assert stored.tolist() == [[0, 1, 2], [3, 4, 5]]
