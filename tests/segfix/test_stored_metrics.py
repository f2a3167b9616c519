"""Metrics of the Cityscapes scripts and of the original boundary F-score, against ours."""

import json

import numpy as np
import pytest
from segfix_fixtures import cases, image, load, name_of

from openseg_plugin.evaluation.boundary import boundary_f_scores, boundary_map, boundary_radius
from openseg_plugin.evaluation.confusion import class_areas, class_metrics
from openseg_plugin.segfix.regions import VOID, class_table
from openseg_plugin.segfix.scores import CityscapesScores, mean_of


def metric_images(folder):
    """(prediction, label ids, instance ids) of every image of a stored evaluation."""
    for path in sorted(folder.glob('gtFine/**/*_labelIds.png')):
        stem = path.name.removesuffix('_gtFine_labelIds.png')
        instances = path.with_name(f'{stem}_gtFine_instanceIds.png')
        prediction = folder / 'pred' / f'{stem}_leftImg8bit.png'
        yield image(prediction), image(path), image(instances)


def assert_metrics(ours, stored):
    assert set(ours) == set(stored)
    for name, value in stored.items():
        assert ours[name] == pytest.approx(np.nan if value is None else value, nan_ok=True), name


@pytest.mark.parametrize('path', cases('metrics', 'results.json'), ids=name_of)
def test_cityscapes_scores_of_a_stored_evaluation_agree(path):
    stored = json.loads(path.read_text())
    scores = CityscapesScores()
    for prediction, labels, instances in metric_images(path.parent):
        scores.add(prediction, labels, instances)
    with np.load(path.parent / 'confusion.npz') as counts:
        np.testing.assert_array_equal(scores.confusion, counts['conf_matrix'])
    assert_metrics(scores.class_iou(), stored['classScores'])
    assert_metrics(scores.class_iiou(), stored['classInstScores'])
    assert_metrics(scores.category_iou(), stored['categoryScores'])
    assert_metrics(scores.category_iiou(), stored['categoryInstScores'])
    fractions = scores.confusion.sum(axis=1) / scores.confusion.sum()
    assert_metrics(dict(zip(scores.class_iou(), fractions)), stored['priors'])
    assert mean_of(scores.class_iou()) == pytest.approx(stored['averageScoreClasses'])
    assert mean_of(scores.class_iiou()) == pytest.approx(stored['averageScoreInstClasses'])
    assert mean_of(scores.category_iou()) == pytest.approx(stored['averageScoreCategories'])
    assert mean_of(scores.category_iiou()) == pytest.approx(stored['averageScoreInstCategories'])


@pytest.mark.parametrize('path', cases('metrics', 'results.json'), ids=name_of)
def test_class_metrics_of_a_stored_evaluation_agree(path):
    stored = json.loads(path.read_text())['openseg_running_score']
    with np.load(path.parent / 'confusion.npz') as counts:
        confusion = counts['openseg_confusion']
    areas = class_areas(np.pad(confusion, ((0, 0), (0, 1))))  # nothing was predicted to be void
    metrics = class_metrics(areas, names=['mIoU'])
    assert metrics['aAcc'] == pytest.approx(stored['pixel_acc'])
    assert np.nanmean(metrics['Acc']) == pytest.approx(stored['mean_acc'])
    assert np.nanmean(metrics['IoU']) == pytest.approx(stored['mean_iou'])
    weights = confusion.sum(axis=1) / confusion.sum()
    assert np.nansum(weights * metrics['IoU']) == pytest.approx(stored['fwavacc'])


@pytest.mark.parametrize('path', cases('metrics', 'results.json'), ids=name_of)
def test_boundary_f_scores_of_a_stored_evaluation_agree(path):
    stored = json.loads(path.read_text())
    table = class_table('cityscapes')
    maps = []
    for prediction, labels, _ in metric_images(path.parent):
        predicted = table[prediction]
        maps.append((np.where(predicted == VOID, 0, predicted), table[labels]))  # as the original
    for threshold, metrics in stored['openseg_boundary_f'].items():
        radius = boundary_radius(float(threshold), maps[0][1].shape)
        assert radius == metrics['radius_pixels']
        scores = np.mean([boundary_f_scores(*pair, 19, radius=radius)[:, 2] for pair in maps], 0)
        assert scores == pytest.approx(metrics['classwise'])
        assert scores.mean() == pytest.approx(metrics['mean'])
    for key in (key for key in stored if key.startswith('boundary_f_per_image')):
        radius = boundary_radius(float(key.split('th')[1].split('_')[0]), maps[0][1].shape)
        scores = [boundary_f_scores(*pair, 19, radius=radius) for pair in maps]
        for index, number, f_score, precision in stored[key]:
            assert scores[index][number, 2] == pytest.approx(f_score)
            assert scores[index][number, 0] == pytest.approx(precision)


@pytest.mark.parametrize('path', cases('metrics', 'seg2bmap.npz'), ids=name_of)
def test_boundary_map_of_a_stored_mask_is_identical(path):
    arrays = load(path).arrays
    np.testing.assert_array_equal(boundary_map(arrays['mask']), arrays['boundary'])
