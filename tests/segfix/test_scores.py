"""segfix/scores.py and cityscapes_scores.py: metrics by hand, sums, missing classes."""

import numpy as np
import pytest

from openseg_plugin.segfix.scores import (
    CATEGORIES,
    CityscapesScores,
    mask_metrics,
    match_object,
    mean_of,
    metrics,
    score_map,
    score_mask,
    table,
)


def maps(seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, (20, 30), dtype=np.uint8)
    label[0] = 255
    prediction = np.where(rng.random(label.shape) < 0.3, 1, label).astype(np.uint8)
    prediction[prediction == 255] = 2
    prediction[1, :5] = 255
    return prediction, label


def test_score_map_counts_void_predictions_as_misses_only():
    prediction, label = maps()
    scores = score_map(prediction, label, radius=1)
    counted = label != 255
    for number in range(4):
        hit = ((prediction == number) & (label == number)).sum()
        union = (((prediction == number) & counted) | (label == number)).sum()
        assert scores.iou()[number] == pytest.approx(hit / union)
    assert scores.classes() == [0, 1, 2, 3]
    assert np.isnan(scores.iou()[4:]).all()


def test_scores_of_several_maps_are_sums():
    one, two = (score_map(*maps(seed), radius=1) for seed in (0, 1))
    both = one + two
    assert both.maps == 2
    np.testing.assert_array_equal(both.pixels, one.pixels + two.pixels)
    expected = (one.boundary_f + two.boundary_f) / 2
    np.testing.assert_array_equal(both.mean_boundary_f(), expected)


def test_metrics_name_classes_and_give_the_mean():
    prediction, label = maps()
    before, after = score_map(prediction, label, radius=1), score_map(label, label, radius=1)
    rows = metrics(before, after, ['road', 'car'])
    assert list(rows) == ['road', 'car', 'class 2', 'class 3', 'mean']
    assert rows['mean']['IoU after'] == 1
    ious = [rows[name]['IoU before'] for name in list(rows)[:-1]]
    assert rows['mean']['IoU before'] == pytest.approx(np.mean(ious))
    assert np.mean(ious) < 1
    text = table(rows)
    assert text.splitlines()[-1].startswith('mean') and '100.00' in text


def test_match_object_takes_the_best_of_the_same_class():
    instances = np.zeros((6, 9), np.uint16)
    instances[:, :2], instances[:, 2:5], instances[:, 5:] = 24000, 24001, 26000
    mask = np.zeros((6, 9), bool)
    mask[:, 1:9] = True
    assert match_object(mask, instances, 24) == 24001
    assert match_object(mask, instances, 26) == 26000
    assert match_object(mask, instances, 25) is None
    assert match_object(np.zeros_like(mask), instances, 24) is None


def test_mask_metrics_are_means_over_objects_per_class():
    true = np.zeros((8, 8), bool)
    true[2:6, 2:6] = True
    half = true & (np.arange(8) < 4)
    pairs = [
        tuple(score_mask(one, true, label_id=label_id, radius=1) for one in (before, true))
        for label_id, before in ((24, half), (24, true), (26, half))
    ]
    rows = mask_metrics(pairs)
    assert list(rows) == ['person', 'car', 'mean']
    assert rows['person']['IoU before'] == pytest.approx(0.75)
    assert rows['mean']['IoU before'] == pytest.approx(2 / 3)
    assert rows['mean']['IoU after'] == rows['mean']['boundary F after'] == 1


def cityscapes_image():
    label = np.full((10, 20), 7, np.uint8)
    label[:, 10:] = 26
    label[0] = 1
    instances = label.astype(np.uint16)
    instances[5:, 10:15], instances[5:, 15:] = 26000, 26001
    return label, instances


def test_cityscapes_scores_of_a_perfect_prediction_are_one():
    label, instances = cityscapes_image()
    scores = CityscapesScores()
    scores.add(label, label, instances)
    for numbers in (scores.class_iou(), scores.category_iou(), scores.class_iiou()):
        assert mean_of(numbers) == 1
    assert scores.confusion[7].sum() == 90
    assert np.isnan(scores.class_iou()['ego vehicle'])


def test_cityscapes_scores_give_small_objects_the_weight_of_large_ones():
    label, instances = cityscapes_image()
    instances[instances == 26001] = 26000
    instances[9, 19] = 26001
    prediction = label.copy()
    prediction[9, 19] = 7  # the object of one pixel is missed
    scores = CityscapesScores()
    scores.add(prediction, label, instances)
    assert scores.class_iou()['car'] == pytest.approx(89 / 90)
    assert scores.class_iiou()['car'] == pytest.approx(1 / 2)
    assert scores.category_iiou()['vehicle'] == pytest.approx(1 / 2)


def test_cityscapes_scores_of_void_predictions_are_misses_and_no_false_alarms():
    label, _ = cityscapes_image()
    for void in (0, 4, 255):
        prediction = label.copy()
        prediction[5, :10] = void
        scores = CityscapesScores()
        scores.add(prediction, label)
        assert scores.class_iou()['road'] == pytest.approx(80 / 90)
        assert scores.class_iou()['car'] == 1


def test_cityscapes_scores_add_up_over_images():
    label, instances = cityscapes_image()
    parts = [CityscapesScores() for _ in range(3)]
    parts[0].add(label, label, instances)
    parts[1].add(np.roll(label, 1, 1), label, instances)
    for prediction in (label, np.roll(label, 1, 1)):
        parts[2].add(prediction, label, instances)
    assert (parts[0] + parts[1]).class_iiou() == pytest.approx(parts[2].class_iiou(), nan_ok=True)


def test_categories_hold_every_label_once():
    assert sorted(index for ids in CATEGORIES.values() for index in ids) == list(range(34))
