"""segfix/boundary.py against slow definitions, and the special cases."""

import numpy as np
import pytest
import scipy.ndimage
from in_one_test import in_one_test

from openseg_plugin.evaluation.boundary import (
    boundary_areas,
    boundary_f_scores,
    boundary_map,
    boundary_radius,
    boundary_width,
    inner_band,
    trimap,
    trimap_areas,
)


def blocks(shape, seed, classes=4, ignored=0.05):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, classes, [-(-side // 6) for side in shape], dtype=np.uint8)
    labels = small.repeat(6, 0).repeat(6, 1)[: shape[0], : shape[1]].copy()
    labels[rng.random(shape) < ignored] = 255
    return labels


def pair(shape=(40, 61), seed=0):
    label = blocks(shape, seed)
    prediction = np.roll(np.where(label == 255, 0, label), (1, 2), (0, 1))
    return prediction, label


def disk(radius):
    steps = np.arange(-radius, radius + 1)
    return steps[:, None] ** 2 + steps**2 <= radius**2


def searched_f(prediction, label, number, radius):
    """Precision and recall by dilating the whole edge maps."""
    edges = [
        boundary_map(((one == number) & (label != 255)).astype(np.uint8)) > 0
        for one in (prediction, label)
    ]
    if not edges[0].any() or not edges[1].any():
        return float(not edges[0].any()), float(not edges[1].any())
    near = [scipy.ndimage.binary_dilation(edge, disk(radius)) for edge in edges]
    return (edges[0] & near[1]).sum() / edges[0].sum(), (edges[1] & near[0]).sum() / edges[1].sum()


@in_one_test(
    ('threshold', 'size', 'expected'),
    [
        (0.00088, (1024, 2048), 3),
        (0.001875, (1024, 2048), 5),
        (0.00375, (1024, 2048), 9),
        (0.005, (1024, 2048), 12),
        (0.008, (360, 480), 5),
        (3, (10, 10), 3),
    ],
)
def test_boundary_radius_in_pixels(threshold, size, expected):
    assert boundary_radius(threshold, size) == expected


def test_boundary_map_of_a_square_is_its_upper_left_outline():
    mask = np.zeros((5, 6), np.uint8)
    mask[2:4, 2:5] = 1
    assert boundary_map(mask).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_boundary_map_at_the_border_looks_along_it():
    mask = np.zeros((3, 3), np.uint8)
    mask[1:, 1:] = 1
    assert boundary_map(mask).tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert boundary_map(1 - mask)[2, 2] == 0


@in_one_test('radius', [1, 2, 3, 4, 7])
@in_one_test('shape', [(40, 61), (23, 24)])
def test_boundary_f_scores_are_those_of_dilated_edges(radius, shape):
    prediction, label = pair(shape)
    scores = boundary_f_scores(prediction, label, 6, radius=radius)
    for number in range(6):
        precision, recall = searched_f(prediction, label, number, radius)
        assert scores[number, :2].tolist() == pytest.approx([precision, recall])
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert scores[number, 2] == pytest.approx(expected)


def test_boundary_f_scores_of_classes_in_one_map_or_none():
    prediction, label = np.zeros((2, 9, 9), np.uint8)
    prediction[3:6, 3:6] = 1
    label[3:6, 3:6] = 2
    scores = boundary_f_scores(prediction, label, 4, radius=1)
    assert scores[1].tolist() == [0, 1, 0]
    assert scores[2].tolist() == [1, 0, 0]
    assert scores[3].tolist() == [1, 1, 1]
    assert scores[0].tolist() == [1, 1, 1]


def test_boundary_f_scores_do_not_see_ignored_pixels():
    label = np.zeros((20, 20), np.uint8)
    label[:, 10:] = 1
    prediction = label.copy()
    label[:8] = 9
    expected = boundary_f_scores(prediction, label, 2, radius=1, ignore_index=9)
    prediction[:8] = np.arange(20) % 2
    ours = boundary_f_scores(prediction, label, 2, radius=1, ignore_index=9)
    np.testing.assert_array_equal(ours, expected)
    assert ours.min() == 1


def test_boundary_f_scores_of_more_classes_than_a_byte_holds():
    label = np.zeros((9, 9), np.int64)
    label[3:6, 3:6] = 300
    assert boundary_f_scores(label, label, 301, radius=1).min() == 1
    moved = np.roll(label, 4, 1)
    assert boundary_f_scores(moved, label, 301, radius=1)[300, 2] < 0.5


@pytest.mark.parametrize(
    ('ratio', 'size', 'expected'),
    [(0.02, (30, 40), 1), (0.02, (1024, 2048), 46), (0.001, (5, 5), 1)],
)
def test_boundary_width_is_at_least_one_pixel(ratio, size, expected):
    assert boundary_width(ratio, size) == expected


@pytest.mark.parametrize('width', [1, 2, 5])
def test_inner_band_is_the_mask_without_its_erosion(width):
    mask = pair()[1] == 1
    eroded = scipy.ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)
    np.testing.assert_array_equal(inner_band(mask, width), mask & ~eroded)


@pytest.mark.parametrize('width', [1, 4])
def test_boundary_areas_are_intersection_and_union_of_the_bands(width):
    prediction, label = pair()
    areas = boundary_areas(prediction, label, 5, width=width)
    for number in range(5):
        first, second = (
            inner_band((one == number) & (label != 255), width) for one in (prediction, label)
        )
        assert areas[:, number].tolist() == [(first & second).sum(), (first | second).sum()]


@pytest.mark.parametrize('width', [1, 2, 3, 6])
def test_trimap_holds_the_pixels_near_a_change(width):
    label = pair()[1].astype(int)
    edge = np.zeros(label.shape, bool)
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        changed = np.roll(label, shift, axis) != label
        border = [slice(None)] * 2
        border[axis] = 0 if shift == 1 else -1
        changed[tuple(border)] = False
        edge |= changed
    distance = scipy.ndimage.distance_transform_edt(~edge)
    np.testing.assert_array_equal(trimap(label, width), distance <= width - 1)


def test_trimap_areas_count_only_pixels_near_an_edge():
    label = np.zeros((10, 20), np.uint8)
    label[:, 10:] = 1
    prediction = label.copy()
    prediction[:, 9] = 1
    prediction[0, 0] = 1  # far from the edge: not counted
    label[9, 9:11] = 255  # not counted, but the pixels at both sides of it are
    assert trimap_areas(prediction, label, 2, width=1).tolist() == [[1, 10], [10, 19]]
    assert trimap_areas(prediction, label, 2, width=2)[1].sum() > 27
