"""segfix/regions.py: the kinds of label maps told apart by their values."""

from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.segfix.regions import check_kind, checked, inspect_labels
from openseg_plugin.utils.images import read_label

TRAIN = {0: 400, 1: 60, 2: 200, 8: 150, 10: 80, 13: 50, 255: 60}
LABEL_IDS = {7: 400, 8: 60, 11: 200, 21: 150, 23: 80, 26: 50, 1: 30, 3: 30}
PREDICTED_IDS = {7: 500, 11: 200, 23: 300}
REFINED_IDS = {7: 500, 23: 300, 255: 200}
ADE = {0: 100, 1: 300, 13: 200, 150: 400}
MANY = {0: 300, 57: 300, 170: 300, 255: 100}
INSTANCES = {7: 500, 24000: 200, 26001: 200, 0: 100}


def write(folder, *pixels, dtype=np.uint8, mode=None):
    """One 20 x 50 label file per dict of pixels per value; missing pixels get the first value."""
    paths = []
    for index, counts in enumerate(pixels):
        values = np.repeat(list(counts), list(counts.values()))
        label = np.full(1000, values[0])
        label[: values.size] = values[:1000]
        image = Image.fromarray(label.reshape(20, 50).astype(dtype))
        if mode:
            image.putpalette([9] * 768)
        paths.append(folder / f'{index}.png')
        image.save(paths[-1])
    return paths


def inspected(folder, *pixels, **options):
    return inspect_labels(write(folder, *pixels, **options))


@in_one_test(
    ('pixels', 'expected'),
    [
        (TRAIN, 'train'),
        (LABEL_IDS, 'cityscapes'),
        (PREDICTED_IDS, 'cityscapes'),
        (REFINED_IDS, 'cityscapes'),
        ({0: 500, 1: 300, 2: 200}, 'train'),
        (ADE, None),
        (MANY, None),
        ({8: 1000}, None),
        ({255: 1000}, None),
        ({0: 990, 24: 10}, None),
    ],
)
def test_seems_names_the_kind_only_where_values_speak_for_one(tmp_path, pixels, expected):
    assert inspected(tmp_path, pixels).inferred_kind() == expected


def test_seems_instance_from_the_first_object_on(tmp_path):
    assert inspected(tmp_path, {7: 1000}, INSTANCES, dtype=np.uint16).inferred_kind() == 'instance'


@in_one_test(
    ('pixels', 'kind', 'num_classes'),
    [
        (LABEL_IDS, 'train', None),
        (LABEL_IDS, 'train', 19),
        (PREDICTED_IDS, 'train', None),
        (TRAIN, 'cityscapes', None),
        ({0: 500, 1: 300, 2: 200}, 'cityscapes', None),
        (ADE, 'cityscapes', None),
        (MANY, 'train', 150),
        (MANY, 'ade20k', None),
        (TRAIN, 'ade20k', None),
        (LABEL_IDS, 'instance', None),
    ],
)
def test_check_kind_of_another_kind_is_refused_with_the_values(tmp_path, pixels, kind, num_classes):
    with pytest.raises(DataError, match=rf'{tmp_path} is taken as {kind} .*holds the value'):
        check_kind(inspected(tmp_path, pixels), kind, tmp_path, num_classes=num_classes)


@in_one_test(
    ('pixels', 'kind', 'num_classes'),
    [
        (TRAIN, 'train', None),
        (TRAIN, 'train', 19),
        (LABEL_IDS, 'cityscapes', None),
        (PREDICTED_IDS, 'cityscapes', None),
        (REFINED_IDS, 'cityscapes', None),
        ({7: 1000}, 'cityscapes', None),
        ({8: 900, 2: 100}, 'train', None),
        (ADE, 'ade20k', None),
        (ADE, 'train', None),
        (MANY, 'train', None),
        (MANY, 'train', 171),
        ({0: 900, 20: 100}, 'train', 21),
    ],
)
def test_check_kind_of_the_right_kind_passes(tmp_path, pixels, kind, num_classes):
    assert check_kind(inspected(tmp_path, pixels), kind, tmp_path, num_classes=num_classes) is None


def test_check_kind_suggests_what_the_values_look_like(tmp_path):
    with pytest.raises(DataError, match='give --kind cityscapes if that is right'):
        check_kind(inspected(tmp_path, LABEL_IDS), 'train', tmp_path)


def test_check_kind_of_16_bit_maps_without_objects_passes_as_instance(tmp_path):
    assert check_kind(inspected(tmp_path, {7: 1000}, dtype=np.uint16), 'instance', tmp_path) is None


def test_look_at_many_files_is_spread_over_all(tmp_path):
    paths = write(tmp_path, *[{0: 1000}] * 99, {5: 1000})
    assert inspect_labels(paths[:1] * 40 + paths[-1:] * 40).values == [0, 5]


def test_checked_of_an_impossible_value_names_file_and_value(tmp_path):
    (path,) = write(tmp_path, {7: 900, 40: 100})
    with pytest.raises(DataError, match=rf'{path} holds the value 40'):
        checked(read_label(path), 'cityscapes', path)


@pytest.mark.parametrize('void', [(), (11,)])
def test_checked_of_a_void_value_beyond_the_classes_passes_if_named(tmp_path, void):
    (path,) = write(tmp_path, {3: 900, 11: 100})
    if not void:
        with pytest.raises(DataError, match='the value 11'):
            checked(read_label(path), 'train', path, num_classes=11, void=void)
    else:
        assert checked(read_label(path), 'train', path, num_classes=11, void=void).max() == 11


def test_checked_of_a_16_bit_file_with_small_values_gives_bytes(tmp_path):
    (path,) = write(tmp_path, TRAIN, dtype=np.uint16)
    label = read_label(path)
    assert label.dtype == np.uint16
    assert checked(label, 'train', path).dtype == np.uint8


def test_read_label_of_a_palette_image_gives_the_positions(tmp_path):
    (path,) = write(tmp_path, TRAIN, mode='P')
    with Image.open(path) as image:
        assert image.mode == 'P'
    assert set(np.unique(read_label(path))) == set(TRAIN)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('rgb', 'color image'),
        ('text', 'get an intact copy'),
        ('cut', 'get an intact copy'),
        (None, 'missing'),
    ],
)
def test_read_label_of_an_unusable_file_names_it(tmp_path, content, message):
    path = tmp_path / 'a.png'
    if content == 'rgb':
        Image.new('RGB', (5, 4)).save(path)
    elif content == 'text':
        path.write_text('hello')
    elif content == 'cut':
        (whole,) = write(tmp_path, TRAIN)
        path.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(DataError, match=message) as caught:
        read_label(Path(path))
    assert str(path) in str(caught.value)
