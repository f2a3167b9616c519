"""segfix/refine.py against a loop over pixels; layouts, types, borders, refusals."""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.segfix.refine import gather_indices, refine_labels, refine_masks


def looked_up(labels, offsets, scale):
    """The definition, pixel by pixel."""
    refined = np.empty_like(labels)
    height, width = labels.shape
    for row, column in np.ndindex(labels.shape):
        down, right = scale * offsets[row, column].astype(int)
        source = min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
        refined[row, column] = labels[source]
    return refined


def drawn(shape=(9, 14), seed=0, reach=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 200, shape, dtype=np.uint8)
    offsets = rng.integers(-reach, reach + 1, (*shape, 2))
    offsets[rng.random(shape) < 0.5] = 0
    return labels, offsets


@in_one_test('dtype', [np.int8, np.int16, np.int32, np.int64])
@in_one_test('order', ['C', 'F'])
@in_one_test(('scale', 'reach'), [(1, 1), (2, 1), (3, 4), (0, 1)])
def test_refine_labels_is_a_lookup_at_the_clamped_position(dtype, order, scale, reach):
    labels, offsets = drawn(reach=reach)
    steps = np.array(offsets, dtype, order=order)
    before = labels.copy()
    refined = refine_labels(labels, steps, scale=scale)
    np.testing.assert_array_equal(refined, looked_up(labels, offsets, scale))
    np.testing.assert_array_equal(labels, before)


def test_refine_labels_of_a_view_of_larger_offsets_is_the_same():
    labels, offsets = drawn()
    wide = np.zeros((9, 28, 3), np.int32)
    wide[:, ::2, :2] = offsets
    np.testing.assert_array_equal(
        refine_labels(labels, wide[:, ::2, :2]), looked_up(labels, offsets, 2)
    )


@pytest.mark.parametrize('dtype', [np.uint16, np.int64])
def test_refine_labels_keeps_type_and_large_numbers(dtype):
    labels, offsets = drawn()
    labels = labels.astype(dtype) + 1000
    refined = refine_labels(labels, offsets)
    assert refined.dtype == dtype
    np.testing.assert_array_equal(refined, looked_up(labels, offsets, 2))


def test_refine_labels_of_a_batch_of_tensors_is_that_of_each():
    pairs = [drawn(seed=seed) for seed in range(3)]
    labels = torch.stack([torch.from_numpy(one) for one, _ in pairs])
    offsets = torch.stack([torch.from_numpy(one) for _, one in pairs])
    refined = refine_labels(labels, offsets, scale=2)
    for ours, pair in zip(refined, pairs):
        np.testing.assert_array_equal(ours, looked_up(*pair, 2))


@pytest.mark.parametrize(
    ('kind', 'values', 'expected'),
    [
        ('train', [0, 18, 200, 255], [0, 18, 200, 255]),
        ('cityscapes', [7, 33, 0, 9], [7, 33, 255, 255]),
        ('ade20k', [1, 150, 0, 151], [1, 150, 255, 255]),
    ],
)
def test_refine_labels_turns_void_ids_into_255_and_keeps_classes(kind, values, expected):
    labels = np.array([values], np.uint8)
    still = np.zeros((1, 4, 2), np.int8)
    assert refine_labels(labels, still, kind=kind).tolist() == [expected]
    of_tensor = refine_labels(torch.from_numpy(labels), torch.from_numpy(still), kind=kind)
    assert of_tensor.tolist() == [expected]


@pytest.mark.parametrize('sampling', ['gather', 'bilinear', 'bilinear_shifted'])
def test_refine_labels_without_moves_changes_nothing_but_where_the_original_does(sampling):
    labels, _ = drawn()
    still = np.zeros((*labels.shape, 2), np.int8)
    refined = refine_labels(labels, still, sampling=sampling)
    assert np.array_equal(refined, labels) == (sampling != 'bilinear_shifted')


def test_refine_labels_with_half_a_step_blends_numbers_only_when_asked_to():
    labels = np.array([[10, 20, 30]], np.uint8)
    offsets = np.zeros((1, 3, 2), np.int8)
    offsets[0, 0] = 0, 1
    with pytest.raises(ValueError, match='fraction of a pixel'):
        refine_labels(labels, offsets, scale=0.5)
    assert refine_labels(labels, offsets, scale=0.5, sampling='bilinear').tolist() == [[15, 20, 30]]


def test_refine_labels_with_bilinear_sampling_and_whole_steps_is_the_lookup():
    labels, offsets = drawn((20, 31))
    np.testing.assert_array_equal(
        refine_labels(labels, offsets, sampling='bilinear'), refine_labels(labels, offsets)
    )


@pytest.mark.parametrize('shape', [(9, 13, 2), (9, 14, 3), (9, 14)])
def test_refine_labels_with_offsets_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match='pair for every pixel'):
        refine_labels(drawn()[0], np.zeros(shape, np.int8))


def test_refine_labels_with_an_unknown_sampling_is_refused():
    labels, offsets = drawn()
    with pytest.raises(ValueError, match='one of'):
        refine_labels(labels, offsets, sampling='cubic')


@pytest.mark.parametrize('sampling', ['gather', 'bilinear'])
@pytest.mark.parametrize('as_tensor', [False, True])
def test_refine_masks_moves_every_mask(sampling, as_tensor):
    labels, offsets = drawn()
    masks = np.stack([labels > limit for limit in (50, 100, 150)]) * np.uint8(255)
    expected = [looked_up(mask, offsets, 2) > 0 for mask in masks]
    if as_tensor:
        masks, offsets = torch.from_numpy(masks), torch.from_numpy(offsets)
    refined = refine_masks(masks, offsets, scale=2, sampling=sampling)
    np.testing.assert_array_equal(refined, expected)
    assert refined.dtype in (np.bool_, torch.bool)


def test_moves_lists_only_pixels_that_move():
    offsets = np.zeros((3, 4, 2), np.int8)
    offsets[1, 2] = 1, -1
    target, source = gather_indices(offsets, scale=2)
    assert (target.tolist(), source.tolist()) == ([1 * 4 + 2], [2 * 4 + 0])
