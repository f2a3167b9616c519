"""Comparisons: differences, intervals, and when there is none."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from label_folders import CLASSES, write_maps

from openseg_plugin.errors import DataError
from openseg_plugin.report.collect import nonzero_cells
from openseg_plugin.report.compare import NAME, compare, write_comparison
from openseg_plugin.report.from_folders import results_from_folders
from openseg_plugin.report.results import Results


@pytest.fixture
def results(tmp_path) -> Results:
    pred, gt, _ = write_maps(tmp_path, [f'image{i}' for i in range(6)])
    return results_from_folders(pred, gt, classes=CLASSES)


def _perfect(results: Results, number: int) -> Results:
    """The same test with its first images all right."""
    images = []
    for index, image in enumerate(results.images):
        if index < number:
            confusion = np.zeros_like(image.counts.confusion)
            np.fill_diagonal(confusion, image.counts.confusion.sum(axis=1))
            counts = dataclasses.replace(image.counts, cells=nonzero_cells(confusion))
            image = dataclasses.replace(image, counts=counts)
        images.append(image)
    return dataclasses.replace(results, images=tuple(images), protocol={'checkpoint': 'b'})


def test_a_test_does_not_differ_from_itself(results):
    change = compare([('a', results), ('b', results)], resamples=50).metrics['mIoU']
    assert change.differences == (0,)
    assert change.intervals == ((0, 0),)
    assert change.certain == (False,)


def test_a_better_test_is_better_and_its_interval_holds_the_difference(results):
    found = compare([('a', results), ('b', _perfect(results, 5))], resamples=400)
    change = found.metrics['aAcc']
    (low, high), (difference,) = change.intervals[0], change.differences
    assert 0 < low < difference < high
    assert change.certain == (True,)
    assert ('checkpoint', '-', 'b') in found.settings


def test_the_bootstrap_is_the_one_of_its_definition(results):
    better = _perfect(results, 3)
    change = compare([('a', results), ('b', better)], resamples=250, seed=3).metrics['aAcc']
    rng, differences = np.random.default_rng(3), []
    for weights in rng.multinomial(6, np.full(6, 1 / 6), size=250):
        scores = []
        for one in (results, better):
            confusion = sum(w * i.counts.confusion for w, i in zip(weights, one.images))
            scores.append(np.trace(confusion) / confusion.sum())
        differences.append(scores[1] - scores[0])
    assert change.intervals[0] == pytest.approx(np.quantile(differences, [0.025, 0.975]))


def test_images_are_matched_by_name_whatever_their_order(results):
    turned = dataclasses.replace(results, images=results.images[::-1])
    found = compare([('a', results), ('b', turned)], resamples=10)
    assert [one.name for one in found.runs[1].images] == [one.name for one in results.images]


def test_other_images_are_refused_unless_the_intersection_is_wanted(results):
    fewer = dataclasses.replace(results, images=results.images[2:])
    with pytest.raises(DataError, match='--intersection'):
        compare([('a', results), ('b', fewer)], resamples=10)
    found = compare([('a', results), ('b', fewer)], resamples=10, intersection=True)
    assert len(found.runs[0].images) == len(found.runs[1].images) == 4


def test_tests_without_a_common_image_are_refused(results):
    other = dataclasses.replace(results.images[0], name='elsewhere')
    with pytest.raises(DataError, match='no image in common'):
        compare(
            [('a', results), ('b', dataclasses.replace(results, images=(other,)))],
            resamples=10,
            intersection=True,
        )


def test_other_classes_and_another_ground_truth_are_refused(results):
    renamed = dataclasses.replace(results, classes=(*CLASSES[:-1], 'x'))
    with pytest.raises(DataError, match='class 3 is "道路" and "x"'):
        compare([('a', results), ('b', renamed)], resamples=10)
    first = results.images[1]
    counts = dataclasses.replace(first.counts, cells=first.counts.cells * (1, 1, 2))
    changed = list(results.images)
    changed[1] = dataclasses.replace(first, counts=counts)
    with pytest.raises(DataError, match='image1'):
        compare(
            [('a', results), ('b', dataclasses.replace(results, images=tuple(changed)))],
            resamples=10,
        )


def test_three_tests_are_written_with_two_changes_each(results, tmp_path):
    runs = [('a', results), ('b', _perfect(results, 2)), ('c', _perfect(results, 6))]
    write_comparison(tmp_path, compare(runs, resamples=20))
    content = json.loads((tmp_path / NAME).read_text(encoding='utf-8'))
    assert content['tests'] == ['a', 'b', 'c']
    assert content['metrics']['aAcc']['values'][2] == 100
    assert len(content['classes']['道路']['differences']) == 2
    rows = list(csv.DictReader((tmp_path / 'per_class.csv').read_text().splitlines()))
    assert rows[0]['IoU c'] == '100.0'
