import cv2
import numpy as np
import pytest

from openseg_plugin.datasets.transforms import (
    LoadLabels,
    RandomBrightness,
    RandomCrop,
    RandomFlip,
    RandomResize,
    ShortSideResize,
)
from openseg_plugin.errors import ConfigError, DataError


@pytest.fixture
def sample() -> dict:
    """A 30x47 image whose first channel is the column, with a label of columns modulo 7."""
    columns = np.broadcast_to(np.arange(47, dtype=np.uint8), (30, 47))
    return dict(
        img=np.ascontiguousarray(np.repeat(columns[..., None], 3, 2)),
        gt_seg_map=np.ascontiguousarray(columns % 7),
        seg_fields=['gt_seg_map'],
        img_shape=(30, 47),
    )


def test_load_labels_adds_the_map_once(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.full((3, 4), 2, np.uint8))
    results = LoadLabels()(dict(seg_map_path=str(tmp_path / 'x.png'), ori_shape=(3, 4)))
    assert (results['gt_seg_map'] == 2).all()
    assert results['seg_fields'] == ['gt_seg_map']


def test_load_labels_without_a_label_changes_nothing():
    assert LoadLabels()(dict(img_path='x')) == dict(img_path='x')


def test_load_labels_of_another_size_names_both_files(tmp_path):
    path = str(tmp_path / 'x.png')
    cv2.imwrite(path, np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match=r'x\.png .*4x3.*p\.jpg .*5x3'):
        LoadLabels()(dict(seg_map_path=path, img_path='p.jpg', ori_shape=(3, 5)))


def test_load_labels_of_mmsegs_datasets_honors_their_options(tmp_path):
    path = str(tmp_path / 'x.png')
    cv2.imwrite(path, np.array([[0, 1, 2, 255]], np.uint8))
    results = dict(seg_map_path=path, reduce_zero_label=True, label_map={0: 5}, seg_fields=[])
    assert LoadLabels()(results)['gt_seg_map'].tolist() == [[255, 5, 1, 255]]


@pytest.mark.parametrize('interpolation', ['cubic', 'bilinear'])
def test_random_resize_draws_size_by_truncation(sample, interpolation):
    resize = RandomResize(
        scale_range=(0.7, 0.7), aspect_range=(1.1, 1.1), interpolation=interpolation
    )
    original = sample['img'].copy()
    results = resize(sample)
    size = (int(30 * 0.7 / 1.1**0.5), int(47 * 0.7 * 1.1**0.5))
    assert results['img'].shape[:2] == results['gt_seg_map'].shape == size == (20, 34)
    assert results['img_shape'] == size
    assert results['scale_factor'] == (34 / 47, 20 / 30)
    flag = cv2.INTER_CUBIC if interpolation == 'cubic' else cv2.INTER_LINEAR
    assert np.array_equal(results['img'], cv2.resize(original, (34, 20), interpolation=flag))


def test_random_resize_of_labels_invents_no_class(sample):
    results = RandomResize(scale_range=(1.9, 1.9))(sample)
    assert set(np.unique(results['gt_seg_map'])) <= set(range(7))


def test_random_resize_stays_in_its_ranges():
    resize = RandomResize(scale_range=(0.5, 2.0), aspect_range=(0.9, 1.1))
    draws = np.array([resize._draw() for _ in range(300)])
    assert 0.5 <= draws[:, 0].min() < 0.6 and 1.9 < draws[:, 0].max() <= 2.0
    assert 0.9 <= draws[:, 1].min() < 0.92 and 1.08 < draws[:, 1].max() <= 1.1


def test_random_resize_with_steps_takes_only_those():
    resize = RandomResize(scale_range=(0.5, 2.1), scale_step=0.1, aspect_range=(1, 1))
    scales = {round(resize._draw()[0], 6) for _ in range(500)}
    assert scales == {round(0.5 + 0.1 * k, 6) for k in range(17)}


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(scale_range=(2.0, 0.5)), 'scale_range'),
        (dict(aspect_range=(0.0, 1.0)), 'aspect_range'),
        (dict(interpolation='lanczos'), 'interpolation is "lanczos"'),
    ],
)
def test_random_resize_refuses_what_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        RandomResize(**options)


@pytest.mark.parametrize('with_labels, size', [(True, (20, 31)), (False, (30, 47))])
def test_short_side_resize_rounds_and_keeps_labels_on_request(sample, with_labels, size):
    results = ShortSideResize(length=20, with_labels=with_labels)(sample)
    assert results['img'].shape[:2] == (20, 31)
    assert results['gt_seg_map'].shape == size


def test_short_side_resize_of_a_tall_image_takes_its_width():
    results = ShortSideResize(length=10)(dict(img=np.zeros((40, 20, 3), np.uint8)))
    assert results['img'].shape[:2] == (20, 10)


def test_random_crop_cuts_image_and_label_at_one_place(sample):
    results = RandomCrop(crop_size=(16, 16))(sample)
    assert results['img'].shape == (16, 16, 3)
    assert np.array_equal(results['img'][..., 0] % 7, results['gt_seg_map'])
    assert results['pad_offset'] == (0, 0)
    assert results['img_shape'] == (16, 16)


def test_random_crop_reaches_both_borders(sample):
    crop = RandomCrop(crop_size=(16, 16))
    starts = np.array([crop._draw((30, 47))[0] for _ in range(400)])
    assert starts.min(0).tolist() == [0, 0]
    assert starts.max(0).tolist() == [14, 31]


@pytest.mark.parametrize('mode, most', [('random', [10, 3]), ('right_down', [0, 0])])
def test_random_crop_of_small_images_keeps_them_and_says_where_to_pad(sample, mode, most):
    crop = RandomCrop(crop_size=(40, 50), pad_mode=mode)
    offsets = np.array([crop(dict(sample))['pad_offset'] for _ in range(200)])
    assert offsets.min(0).tolist() == [0, 0]
    assert offsets.max(0).tolist() == most
    assert crop(sample)['img'].shape == (30, 47, 3)


def test_random_crop_with_unknown_mode_is_refused():
    with pytest.raises(ConfigError, match='pad_mode is "left"'):
        RandomCrop(crop_size=(4, 4), pad_mode='left')


def test_random_flip_mirrors_image_and_label(sample):
    before = sample['gt_seg_map'].copy()
    results = RandomFlip(prob=1.0)(sample)
    assert np.array_equal(results['gt_seg_map'], before[:, ::-1])
    assert np.array_equal(results['img'][..., 0] % 7, results['gt_seg_map'])
    assert results['flip'] and results['flip_direction'] == 'horizontal'


def test_random_flip_exchanges_pairs_and_keeps_ignored_pixels(sample):
    sample['flip_pairs'] = [[1, 2], [3, 5]]
    sample['gt_seg_map'][0] = 255
    before = sample['gt_seg_map'].copy()
    flipped = RandomFlip(prob=1.0)(sample)['gt_seg_map'][:, ::-1]
    assert np.array_equal(flipped == 2, before == 1)
    assert np.array_equal(flipped == 3, before == 5)
    assert np.array_equal(flipped == 4, before == 4)
    assert (flipped[0] == 255).all()


def test_random_flip_with_prob_zero_changes_nothing(sample):
    sample['flip_pairs'] = [[1, 2]]
    before = sample['gt_seg_map'].copy()
    results = RandomFlip(prob=0.0)(sample)
    assert not results['flip'] and np.array_equal(results['gt_seg_map'], before)


def test_random_brightness_adds_one_number_and_saturates():
    brightness = RandomBrightness(shift=10)
    image = np.array([[[0, 128, 250], [3, 60, 255]]], np.uint8)
    for _ in range(30):
        shift = brightness._draw()
        assert -10 <= shift <= 10
        brightness._draw = lambda shift=shift: shift
        got = brightness(dict(img=image.copy()))['img']
        assert np.array_equal(got, np.clip(image.astype(int) + shift, 0, 255))
        del brightness._draw


def test_random_brightness_draws_both_ends():
    brightness = RandomBrightness(shift=2)
    assert {brightness._draw() for _ in range(100)} == {-2, -1, 0, 1, 2}
