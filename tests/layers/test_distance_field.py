"""layers/distance_field.py against a slow search over all pairs of pixels."""

import numpy as np
import pytest
import torch

from openseg_plugin.layers.distance_field import distance_gradient, extended_sobel, region_distance


def searched(regions):
    """Distance to the nearest pixel of another region, by looking at every pixel."""
    rows, columns = np.mgrid[: regions.shape[0], : regions.shape[1]]
    result = np.zeros(regions.shape)
    for row, column in np.ndindex(regions.shape):
        if regions[row, column]:
            other = regions != regions[row, column]
            squares = (rows - row) ** 2 + (columns - column) ** 2
            result[row, column] = np.sqrt(squares[other].min())
    return result


def blobs(shape, seed, block=4):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 4, [-(-side // block) for side in shape])
    return small.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]]


@pytest.mark.parametrize(('shape', 'block'), [((11, 17), 3), ((24, 19), 9), ((5, 40), 20)])
def test_region_distance_is_the_distance_to_the_nearest_other_pixel(shape, block):
    maps = np.stack([blobs(shape, seed, block) for seed in range(3)])
    ours = region_distance(torch.from_numpy(maps))
    for distance, regions in zip(ours.numpy(), maps):
        np.testing.assert_allclose(distance, searched(regions), rtol=1e-6)


@pytest.mark.parametrize('columns', [40, 200])
def test_region_distance_far_from_an_edge_is_exact_up_to_the_limit(columns):
    regions = torch.ones(1, 3, columns, dtype=torch.int32)
    regions[..., 0] = 2
    assert region_distance(regions)[0, 0, 1:].tolist() == list(range(1, columns))
    limited = region_distance(regions, limit=10)
    assert limited[0, 1, 1:].tolist() == [min(column, 10) for column in range(1, columns)]


def test_region_distance_of_a_single_region_is_measured_as_scipy_does():
    distance = region_distance(torch.full((1, 4, 5), 3))
    assert distance[0, 0, 0] == 1
    assert distance[0, 2, 4] == 5
    assert region_distance(torch.zeros(1, 4, 5, dtype=torch.int32)).sum() == 0


@pytest.mark.parametrize('kernel_size', [3, 5])
def test_distance_gradient_points_to_the_inside(kernel_size):
    regions = torch.full((1, 9, 30), 1)
    regions[..., 10:20] = 2
    distance = region_distance(regions)
    by_row, by_column = distance_gradient(distance, regions, kernel_size=kernel_size)
    middle = by_column[0, 4]
    assert (middle[10:14] > 0).all() and (middle[16:20] < 0).all()
    assert (middle[5:10] < 0).all() and (middle[20:25] > 0).all()
    assert by_row[0, 4].abs().max() < 1e-5


def test_distance_gradient_is_a_correlation_with_zeros_outside():
    regions = torch.from_numpy(blobs((12, 15), 5, 5))[None]
    distance = region_distance(regions)
    by_row, by_column = distance_gradient(distance, regions)
    kernels = [np.array(kernel) for kernel in extended_sobel(5)]
    number = int(regions[0, 6, 7])
    inside = np.pad(np.where(regions[0] == number, distance[0], 0), 2)
    for kernel, ours in zip(kernels, (by_row, by_column)):
        assert ours[0, 6, 7].item() == pytest.approx((kernel * inside[6:11, 7:12]).sum(), abs=1e-5)


def test_extended_sobel_of_five_has_the_published_weights():
    rows, columns = (np.array(kernel) for kernel in extended_sobel(5))
    assert rows[4].tolist() == pytest.approx([2 / 8, 2 / 5, 2 / 4, 2 / 5, 2 / 8])
    assert rows[2].tolist() == [0] * 5
    np.testing.assert_array_equal(columns, rows.T)


@pytest.mark.parametrize('size', [1, 4])
def test_extended_sobel_of_an_even_or_small_size_is_refused(size):
    with pytest.raises(ValueError, match='odd number'):
        extended_sobel(size)
