import numpy as np
import pytest

from openseg_plugin.datasets.transforms import RandomBlur, RandomShortSide, ShortSideCenterCrop
from openseg_plugin.errors import ConfigError


def sample(height=30, width=45):
    random = np.random.default_rng(0)
    return dict(
        img=random.integers(0, 256, (height, width, 3), dtype=np.uint8),
        gt_seg_map=random.integers(0, 5, (height, width), dtype=np.uint8),
        seg_fields=['gt_seg_map'],
        ori_shape=(height, width),
        img_shape=(height, width),
    )


@pytest.mark.parametrize(('height', 'width'), [(30, 45), (45, 30), (20, 20), (7, 61)])
def test_center_crop_is_a_square_that_counts_as_the_original(height, width):
    results = ShortSideCenterCrop(size=20)(sample(height, width))
    assert results['img'].shape == (20, 20, 3)
    assert results['gt_seg_map'].shape == (20, 20)
    assert results['ori_shape'] == results['img_shape'] == (20, 20)
    assert set(np.unique(results['gt_seg_map'])) <= set(range(5))


def test_center_crop_of_the_right_short_side_cuts_both_ends_alike():
    results = sample(20, 30)
    expected = results['img'][:, 5:25].copy()
    np.testing.assert_array_equal(ShortSideCenterCrop(size=20)(results)['img'], expected)


def test_center_crop_without_a_size_changes_nothing():
    results = sample()
    before = {key: np.copy(results[key]) for key in ('img', 'gt_seg_map')}
    results = ShortSideCenterCrop(size=None)(results)
    assert results['ori_shape'] == (30, 45)
    for key, value in before.items():
        np.testing.assert_array_equal(results[key], value)


def test_center_crop_refuses_a_size_of_zero():
    with pytest.raises(ConfigError, match='size=0'):
        ShortSideCenterCrop(size=0)


@pytest.mark.parametrize('shape', [(30, 45), (45, 30)])
def test_random_short_side_reaches_both_ends_of_the_range_and_keeps_the_shape(shape):
    transform = RandomShortSide(base_size=20, scale_range=(0.9, 1.1))
    sides = set()
    for _ in range(100):
        results = transform(sample(*shape))
        height, width = results['img'].shape[:2]
        assert results['gt_seg_map'].shape == (height, width) == results['img_shape']
        assert results['scale'] == (width, height)
        assert max(height, width) == int(min(height, width) * 1.5)
        sides.add(min(height, width))
    assert sides == {18, 19, 20, 21, 22}


@pytest.mark.parametrize('scale_range', [(2.0, 0.5), (0.0, 1.0)])
def test_random_short_side_refuses_an_empty_range(scale_range):
    with pytest.raises(ConfigError, match='RandomShortSide'):
        RandomShortSide(base_size=20, scale_range=scale_range)


@pytest.mark.parametrize(('prob', 'is_changed'), [(0.0, False), (1.0, True)])
def test_random_blur_happens_as_often_as_asked(prob, is_changed):
    results = sample()
    before = results['img'].copy()
    after = RandomBlur(prob=prob, radius_range=(1.0, 1.0))(results)['img']
    assert after.dtype == np.uint8
    assert (not np.array_equal(after, before)) is is_changed
    assert after.astype(float).std() <= before.astype(float).std()


@pytest.mark.parametrize('options', [dict(prob=1.5), dict(radius_range=(2, 1))])
def test_random_blur_refuses_what_is_no_fraction_or_no_range(options):
    with pytest.raises(ConfigError, match='RandomBlur'):
        RandomBlur(**options)


@pytest.mark.parametrize('transform', [ShortSideCenterCrop(size=4), RandomShortSide(base_size=8)])
def test_repr_names_the_transform(transform):
    assert type(transform).__name__ in repr(transform)


@pytest.mark.parametrize('radius', [0.15, 0.6, 1.3])
def test_exact_blur_weighs_by_the_gaussian(radius):
    image = np.zeros((15, 15, 3), np.uint8)
    image[7, 7] = 255
    blur = RandomBlur(prob=1.0, radius_range=(radius, radius), exact=True)
    found = blur(dict(img=image))['img']
    places = np.arange(-7, 8)
    line = np.exp(-0.5 * (places / radius) ** 2)
    line /= line.sum()
    expected = 255 * line[:, None, None] * line[:, None] * np.ones(3)
    assert np.abs(found - expected).max() <= 1.5  # OpenCV computes in 16 bits


def test_exact_blur_repeats_the_edge_and_radii_fill_their_range():
    flat = np.full((6, 9, 3), 200, np.uint8)
    blur = RandomBlur(prob=1.0, radius_range=(0.15, 1.3), exact=True)
    np.testing.assert_array_equal(blur(dict(img=flat.copy()))['img'], flat)
    radii = [blur._draw() for _ in range(300)]
    assert 0.15 <= min(radii) < 0.17 and 1.28 < max(radii) <= 1.3
