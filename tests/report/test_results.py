"""Results of a test on disk: what is written is read back, what is damaged is named."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from in_one_test import in_one_test
from label_folders import CLASSES, PALETTE, write_maps

from openseg_plugin.errors import DataError
from openseg_plugin.report.from_folders import (
    NO_IMAGE,
    NO_PREDICTION,
    read_classes,
    results_from_folders,
)
from openseg_plugin.report.results import NAME, read_results, write_results

NAMES = ['a', 'b', 'deep/c <script>"x"']


@pytest.fixture
def results(tmp_path):
    pred, gt, img = write_maps(tmp_path / 'data', NAMES)
    return results_from_folders(pred, gt, images=img, classes=CLASSES, palette=PALETTE)


def test_results_are_read_back_as_they_were_written(results, tmp_path):
    rng = np.random.default_rng(0)
    counts = dataclasses.replace(
        results.images[0].counts,
        confidence=rng.integers(0, 9, (2, 2, 20)),
        foreground=rng.integers(0, 9, (2, 100)),
        distance_before=rng.integers(0, 9, 32),
        seconds=0.25,
    )
    first = dataclasses.replace(results.images[0], counts=counts)
    written = dataclasses.replace(
        results, images=(first, *results.images[1:]), protocol={'a': '1'}, config={'b.c': '[2]'}
    )
    write_results(tmp_path / 'out', written)
    read = read_results(tmp_path / 'out')
    assert (read.classes, read.palette, read.protocol, read.config) == (
        written.classes,
        written.palette,
        written.protocol,
        written.config,
    )
    for one, other in zip(read.images, written.images):
        assert (one.name, one.size, one.image) == (other.name, other.size, other.image)
        for field in dataclasses.fields(one.counts):
            left, right = (getattr(x.counts, field.name) for x in (one, other))
            assert np.array_equal(left, right) if right is not None else left is None


def _lines(path):
    return path.read_text(encoding='utf-8').splitlines()


def test_confusion_table_sums_up_to_the_labelled_pixels(results, tmp_path):
    write_results(tmp_path, results)
    rows = list(csv.reader(_lines(tmp_path / 'confusion.csv')))
    assert rows[0] == ['ground truth', *CLASSES, 'no class']
    total = sum(int(cell) for row in rows[1:] for cell in row[1:])
    assert total == 3 * 22 * 32  # two rows of every image are ignored
    per_image = list(csv.DictReader(_lines(tmp_path / 'per_image.csv')))
    assert sum(int(row['labelled_pixels']) for row in per_image) == total
    per_class = list(csv.DictReader(_lines(tmp_path / 'per_class.csv')))
    assert [row['class'] for row in per_class] == list(CLASSES)


def test_files_inside_the_folder_are_named_relative_to_it(results, tmp_path):
    write_results(tmp_path, results)
    record = json.loads((tmp_path / NAME).read_text())['images'][0]
    assert record['prediction'] == 'data/pred/a.png'
    assert record['name'] == 'a'


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda c: c.update(version=99), '99'),
        (lambda c: c.update(schema='x'), NAME),
        (lambda c: c['images'][0].update(confusion=[[0, 99, 1]]), NAME),
        (lambda c: c['images'][0].update(confusion=[[-1, 0, 1]]), NAME),
        (lambda c: c['images'][0].update(boundary=[[1, 2]]), NAME),
        (lambda c: c['images'][0].update(distance=None), NAME),
        (lambda c: c['images'][0].pop('size'), NAME),
        (lambda c: c.update(palette=[[0, 0, 0]]), NAME),
        (lambda c: c.update(images=7), NAME),
    ],
)
def test_damaged_results_end_in_one_sentence(results, tmp_path, change, named):
    write_results(tmp_path, results)
    content = json.loads((tmp_path / NAME).read_text())
    change(content)
    (tmp_path / NAME).write_text(json.dumps(content))
    with pytest.raises(DataError, match=named):
        read_results(tmp_path)


@in_one_test('content', [None, '', '[]', '{', '\x00'])
def test_folder_without_results_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / NAME).write_text(content)
    with pytest.raises(DataError, match=NAME):
        read_results(tmp_path)


def test_maps_are_matched_by_name_without_the_endings_of_tools(tmp_path):
    pred, gt, img = write_maps(tmp_path, ['x'])
    (pred / 'x.png').rename(pred / 'x_pred.png')
    (gt / 'x.png').rename(gt / 'x_gtFine_labelTrainIds.png')
    (img / 'x.png').rename(img / 'x_leftImg8bit.png')
    (image,) = results_from_folders(pred, gt, images=img, classes=CLASSES).images
    assert image.name == 'x'
    assert image.image == img / 'x_leftImg8bit.png'


def test_classes_of_one_name_are_told_apart_in_every_table(tmp_path):
    pred, gt, img = write_maps(tmp_path / 'data', NAMES)
    classes = [CLASSES[0], *CLASSES[:-1]]
    found = results_from_folders(pred, gt, images=img, classes=classes, palette=PALETTE)
    write_results(tmp_path / 'out', found)
    head = next(csv.reader(_lines(tmp_path / 'out' / 'confusion.csv')))[1:-1]
    assert head == [f'{CLASSES[0]} (0)', f'{CLASSES[0]} (1)', *CLASSES[1:-1]]


def test_classes_without_names_are_numbered(tmp_path):
    pred, gt, _ = write_maps(tmp_path, ['x'])
    results = results_from_folders(pred, gt)
    assert results.classes == ('class 0', 'class 1', 'class 2', 'class 3')


def test_files_without_a_counterpart_are_counted_in_the_protocol(tmp_path):
    pred, gt, img = write_maps(tmp_path, ['x', 'y', 'z'])
    (pred / 'y.png').unlink()
    (img / 'z.png').unlink()
    protocol = results_from_folders(pred, gt, images=img, classes=CLASSES).protocol
    assert protocol[NO_PREDICTION] == f'1, such as {gt / "y.png"}'
    assert protocol[NO_IMAGE] == f'1, such as {pred / "z.png"}'
    assert NO_IMAGE not in results_from_folders(pred, gt, classes=CLASSES).protocol


def test_a_prediction_without_label_map_is_named(tmp_path):
    pred, gt, _ = write_maps(tmp_path, ['x', 'y'])
    (gt / 'y.png').unlink()
    with pytest.raises(DataError, match=r'y\.png'):
        results_from_folders(pred, gt, classes=CLASSES)


@pytest.mark.parametrize('which', ['pred', 'gt'])
def test_missing_and_empty_folders_are_named(tmp_path, which):
    pred, gt, _ = write_maps(tmp_path, ['x'])
    for file in (tmp_path / which).iterdir():
        file.unlink()
    with pytest.raises(DataError, match=which):
        results_from_folders(pred, gt, classes=CLASSES)
    (tmp_path / which).rmdir()
    with pytest.raises(DataError, match=which):
        results_from_folders(pred, gt, classes=CLASSES)


def test_labels_of_other_classes_are_named_with_their_file(tmp_path):
    pred, gt, _ = write_maps(tmp_path, ['x'])
    with pytest.raises(DataError, match=r'gt/x\.png'):
        results_from_folders(pred, gt, classes=CLASSES[:2])


def test_class_names_are_read_from_text_and_from_json(tmp_path):
    path = tmp_path / 'classes'
    path.write_text('road\n\n Straße \n道路\n', encoding='utf-8')
    assert read_classes(path) == (['road', 'Straße', '道路'], None)
    path.write_text(json.dumps({'classes': ['a', 'b'], 'palette': [[0, 1, 2], [3, 4, 5]]}))
    assert read_classes(path) == (['a', 'b'], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize('text', ['', '[', '[1, 2]', '{"classes": ["a"], "palette": [[0]]}'])
def test_class_files_that_name_none_are_refused(tmp_path, text):
    path = tmp_path / 'classes.json'
    path.write_text(text)
    with pytest.raises(DataError, match=r'classes\.json'):
        read_classes(path)
