"""One size for every image, and crops that contain a wanted pixel; all numbers by hand."""

import numpy as np
import pytest
from in_one_test import in_one_test
from mmseg.registry import TRANSFORMS

from openseg_plugin.datasets.transforms import (
    RandomCrop,
    RandomFlip,
    RandomResize,
    ResizeTo,
    ShortSideResize,
)
from openseg_plugin.errors import ConfigError


def sample(height: int = 4, width: int = 8, **more) -> dict:
    """An image whose first channel is the column and second the row, and a label of columns."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return dict(
        img=np.stack([columns, rows, rows], axis=2),
        gt_seg_map=columns.copy(),
        seg_fields=['gt_seg_map'],
        ori_shape=(height, width),
        **more,
    )


def test_resize_to_gives_the_size_whatever_the_shape():
    results = ResizeTo(size=(8, 4))(sample(4, 8))
    assert results['img'].shape == (8, 4, 3)
    assert results['gt_seg_map'].shape == (8, 4)
    assert (results['img_shape'], results['ori_shape']) == ((8, 4), (4, 8))
    assert results['scale_factor'] == (0.5, 2.0)
    # nearest neighbor at half the width: columns 0, 2, 4, 6
    assert results['gt_seg_map'][0].tolist() == [0, 2, 4, 6]


def test_resize_to_for_testing_leaves_the_label():
    results = ResizeTo(size=(2, 2), with_labels=False)(sample(4, 8))
    assert results['gt_seg_map'].shape == results['ori_shape'] == (4, 8)


def test_resize_to_as_original_changes_the_size_that_predictions_return_to():
    assert ResizeTo(size=(2, 2), as_original=True)(sample(4, 8))['ori_shape'] == (2, 2)


@pytest.mark.parametrize('name, expected', [('bilinear', [10, 50, 90]), ('cubic', [8, 50, 92])])
def test_resize_to_interpolates_as_told(name, expected):
    image = np.repeat(np.array([[[0], [20], [40], [60], [80], [100]]], np.uint8), 3, axis=2)
    results = ResizeTo(size=(1, 3), interpolation=name)(dict(img=image, seg_fields=[]))
    # centers at 0.5, 2.5, 4.5: linear halves; cubic -3/32, 19/32, 19/32, -3/32 with edges repeated:
    # (19 * 20 - 3 * 40) / 32 = 8.1
    assert results['img'][0, :, 0].tolist() == expected


@pytest.mark.parametrize('size', [(0, 4), (4,), (4, 4, 4)])
def test_resize_to_with_a_wrong_size_says_so(size):
    with pytest.raises(ConfigError, match='give \\(height, width\\)'):
        ResizeTo(size=size)


@pytest.mark.parametrize(
    'transform, point',
    [
        (RandomFlip(prob=1.0), (8 - 1 - 2, 3)),
        (ResizeTo(size=(8, 4)), (1, 6)),
        (ShortSideResize(length=8), (4, 6)),
        (RandomResize(scale_range=(0.5, 0.5), aspect_range=(1.0, 1.0)), (1, 1)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, tuple) else '',
)
def test_point_moves_with_the_image(transform, point):
    assert transform(sample(4, 8, crop_point=(2, 3)))['crop_point'] == point


@pytest.mark.parametrize('point', [(0, 0), (19, 9), (10, 5), (3, 9)])
def test_crop_contains_the_point(point):
    crop, seen = RandomCrop(crop_size=(4, 6)), set()
    for _ in range(60):
        results = crop(sample(10, 20, crop_point=point))
        assert results['img'].shape == (4, 6, 3)
        pixels = results['img'][..., :2].reshape(-1, 2).tolist()
        assert list(point) in pixels
        assert 'crop_point' not in results, 'it belongs to the whole image'
        seen.add(tuple(pixels[0]))
    # in the middle every window that contains it occurs, in a corner there is only one
    assert len(seen) == {(0, 0): 1, (19, 9): 1}.get(point, len(seen))
    assert len(seen) > 1 or point in ((0, 0), (19, 9))


def test_crop_larger_than_the_image_keeps_all_of_it():
    results = RandomCrop(crop_size=(16, 16), pad_mode='right_down')(sample(4, 8, crop_point=(7, 0)))
    assert results['img'].shape == (4, 8, 3) and results['pad_offset'] == (0, 0)


@in_one_test('point', [None, (3, 2)])
@in_one_test(('wanted', 'places'), [(5, {0, 1}), (6, {0, 1, 2}), (9, {2, 3}), (4, {0})])
def test_symmetric_padding_leaves_half_of_it_give_or_take_one_at_each_end(wanted, places, point):
    # one side of 4 pixels: ((6 - 4) // 2 + 1) = 2 at each end make 8, of which 6 are drawn
    crop = RandomCrop(crop_size=(wanted, 8), pad_mode='symmetric')
    points = dict(crop_point=point) if point else {}
    found = [crop(sample(4, 8, **points))['pad_offset'] for _ in range(80)]
    assert {top for top, _ in found} == places
    assert {left for _, left in found} == {0}


def test_padding_with_a_value_makes_the_whole_crop_with_ignored_labels():
    crop = RandomCrop(crop_size=(6, 5), pad_mode='symmetric', pad_value=7)
    results = crop(sample(4, 8))
    image, label = results['img'], results['gt_seg_map']
    assert image.shape == (6, 5, 3) and results['img_shape'] == label.shape == (6, 5)
    assert results['pad_offset'] == (0, 0)
    rows = (label != 255).all(axis=1)
    assert rows.sum() == 4
    assert (image[~rows] == 7).all() and (label[~rows] == 255).all()
    assert image[rows, 0, 1].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(image[rows][..., 0], label[rows])


def test_padding_at_the_right_and_bottom_with_a_value_keeps_the_image_in_its_corner():
    crop = RandomCrop(crop_size=(5, 9), pad_mode='right_down', pad_value=127)
    results = crop(sample(4, 8))
    assert (results['img'][4:] == 127).all() and (results['img'][:, 8:] == 127).all()
    np.testing.assert_array_equal(results['img'][:4, :8], sample(4, 8)['img'])


@pytest.mark.parametrize('value', [-1, 256, 127.5])
def test_padding_with_what_is_no_gray_level_is_refused(value):
    with pytest.raises(ConfigError, match=f'pad_value is {value}'):
        RandomCrop(crop_size=(4, 4), pad_value=value)


def test_resize_to_is_registered_and_prints_its_options():
    built = TRANSFORMS.build(dict(type='openseg_plugin.ResizeTo', size=(4, 4)))
    assert repr(built) == (
        "ResizeTo(size=(4, 4), interpolation='cubic', with_labels=True, as_original=False)"
    )
