"""segfix/fields.py: distances against scipy, directions by hand, special maps."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from in_one_test import in_one_test

from openseg_plugin.segfix.regions import region_map
from openseg_plugin.segfix.targets import NO_DIRECTION, distance_and_direction, fields_of_regions


def blocks(shape=(61, 83), seed=0, block=12, classes=5):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, classes, [-(-side // block) for side in shape], dtype=np.uint8)
    labels = small.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]].copy()
    labels[rng.random(shape) < 0.01] = 255
    return labels


@pytest.mark.parametrize('metric', ['euclidean', 'taxicab'])
@pytest.mark.parametrize('shape', [(61, 83), (40, 24)])
def test_depth_is_scipys_distance_cut_to_an_integer(metric, shape):
    labels = blocks(shape)
    depth, _ = distance_and_direction(labels, metric=metric, min_pixels=1)
    for number in np.unique(labels[labels < 255]):
        mask = labels == number
        if metric == 'euclidean':
            expected = scipy.ndimage.distance_transform_edt(mask)
        else:
            expected = scipy.ndimage.distance_transform_cdt(mask, 'taxicab')
        np.testing.assert_array_equal(depth[mask], np.floor(expected[mask]).astype(np.uint8))


def test_depth_beyond_250_is_250():
    labels = np.zeros((4, 600), np.uint8)
    labels[:, 0] = 255
    depth, _ = distance_and_direction(labels)
    assert depth[0, 249:253].tolist() == [249, 250, 250, 250]


@pytest.mark.parametrize(
    ('rows', 'columns', 'byte'),
    [(slice(0, 20), slice(0, 10), 0), (slice(0, 20), slice(10, 20), 90)],
)
def test_direction_next_to_a_vertical_edge_points_away_from_it(rows, columns, byte):
    """Left half points left (-180 or 180 degrees), right half right (0 degrees)."""
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 10:] = 1
    _, direction = distance_and_direction(labels)
    inner = direction[rows, columns][3:-3, 3:-3]
    apart = (inner.astype(int) - byte) % 180  # a cut-off number: one less where a sum is -1e-7
    assert set(np.unique(apart)) <= {0, 179}


def test_direction_next_to_a_horizontal_edge_points_away_from_it():
    labels = np.zeros((20, 20), np.uint8)
    labels[10:] = 1
    _, direction = distance_and_direction(labels)
    assert set(np.unique(direction[5:8, 3:-3])) == {45}  # up: -90 degrees
    assert set(np.unique(direction[12:15, 3:-3])) == {135}  # down: 90 degrees


def test_pixels_without_a_region_have_no_depth_and_no_direction():
    labels = np.full((30, 30), 255, np.uint8)
    labels[10:20, 10:19] = 2  # 90 pixels
    depth, direction = distance_and_direction(labels)
    assert depth.max() == 0 and set(np.unique(direction)) == {NO_DIRECTION}
    depth, _ = distance_and_direction(labels, min_pixels=90)
    assert depth[10:20, 10:19].min() == 1 and depth[0, 0] == 0


def test_void_of_instance_maps_is_a_region():
    labels = np.zeros((20, 20), np.uint16)
    labels[:, 10:] = 24000
    depth, _ = distance_and_direction(labels, 'instance')
    assert depth[5].tolist() == [*range(10, 0, -1), *range(1, 11)]


def test_a_map_of_one_region_is_measured_as_scipy_does():
    depth, _ = distance_and_direction(np.zeros((12, 15), np.uint8))
    rows, columns = np.ogrid[1:13, :15]
    np.testing.assert_array_equal(depth, np.floor(np.hypot(rows, columns)))
    depth, _ = distance_and_direction(np.zeros((12, 15), np.uint8), metric='taxicab')
    assert set(np.unique(depth)) == {250}


@pytest.mark.parametrize('kind', ['train', 'instance'])
def test_fields_of_regions_agree_with_those_of_opencv(kind):
    labels = blocks().astype(np.uint16 if kind == 'instance' else np.uint8)
    depth, direction = distance_and_direction(labels, kind)
    regions = torch.from_numpy(region_map(labels, kind))
    on_device = fields_of_regions(regions, kind, 5)
    np.testing.assert_array_equal(depth, on_device[0].numpy())
    apart = np.abs(direction.astype(int) - on_device[1].numpy())
    assert (np.minimum(apart, 180 - apart) <= 1).mean() > 0.995


def test_the_same_map_gives_the_same_bytes_every_time():
    labels = blocks((200, 301), block=40)
    first = distance_and_direction(labels)
    spoiled = [np.empty(size) for size in (7, 100, 1001)]  # other addresses for what comes next
    second = distance_and_direction(labels.copy())
    assert len(spoiled) == 3
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


def test_a_tensor_gives_tensors_with_the_same_values():
    labels = blocks()
    maps = distance_and_direction(torch.from_numpy(labels.astype(np.int64)))
    for one, other in zip(maps, distance_and_direction(labels)):
        assert isinstance(one, torch.Tensor)
        np.testing.assert_array_equal(one.numpy(), other)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match='one of'):
        distance_and_direction(blocks(), metric='cosine')


@in_one_test('seed', range(5))
@in_one_test('kernel_size', [3, 9])
def test_a_region_in_parts_has_the_maps_of_the_whole(monkeypatch, seed, kernel_size):
    rng = np.random.default_rng(seed)
    labels = blocks((90, 121), seed=seed, block=int(rng.integers(3, 12)), classes=3)
    rings = np.hypot(*np.mgrid[-45:45, -60:61])
    labels[(rings % 14 < 3) & (rings < 40)] = 3  # parts inside the holes of others
    maps = []
    for piece_cost in (0, 10**9):
        monkeypatch.setattr('openseg_plugin.segfix.targets._SPARSE', 1)
        monkeypatch.setattr('openseg_plugin.segfix.targets._PIECE_COST', piece_cost)
        maps.append(distance_and_direction(labels, kernel_size=kernel_size, min_pixels=1))
    (depth, direction), (whole_depth, whole_direction) = maps
    np.testing.assert_array_equal(depth, whole_depth)
    apart = np.abs(direction.astype(int) - whole_direction)
    assert (np.minimum(apart, 180 - apart) <= 1).mean() > 0.999
