"""segfix/regions.py: what becomes a region, per kind of label map."""

import numpy as np
import pytest

from openseg_plugin.segfix.regions import CITYSCAPES_CLASS_IDS, class_table, region_map


def bars(*values, dtype=np.uint8, height=10, width=12):
    """One vertical bar of ``width`` columns per value: 120 pixels each."""
    return np.repeat(np.array(values, dtype), width)[None].repeat(height, axis=0)


def columns(regions, width=12):
    return regions[0, ::width].tolist()


def test_class_table_of_cityscapes_maps_19_ids_in_train_id_order():
    table = class_table('cityscapes')
    assert table[list(CITYSCAPES_CLASS_IDS)].tolist() == list(range(19))
    assert (table == 255).sum() == 256 - 19


def test_class_table_of_ade20k_shifts_by_one_and_0_is_void():
    table = class_table('ade20k')
    assert (table[0], table[1], table[150], table[151]) == (255, 0, 149, 255)


def test_class_table_of_train_ids_keeps_them_but_void():
    assert class_table('train', void=[11])[[0, 10, 11, 254, 255]].tolist() == [0, 10, 255, 254, 255]


def test_class_table_of_instances_is_refused():
    with pytest.raises(ValueError, match='instance'):
        class_table('instance')


@pytest.mark.parametrize(
    ('kind', 'labels', 'expected'),
    [
        ('train', (0, 4, 0, 255), [1, 5, 1, 0]),
        ('cityscapes', (7, 8, 1, 29), [1, 2, 0, 0]),
        ('ade20k', (1, 150, 0, 151), [1, 150, 0, 0]),
    ],
)
def test_region_map_makes_one_region_per_class(kind, labels, expected):
    assert columns(region_map(bars(*labels), kind)) == expected


def test_region_map_leaves_out_classes_on_fewer_pixels():
    labels = bars(3, 5)
    labels[0, :12] = 5
    labels[:, 12:] = np.where(np.arange(12) < 9, 5, 6)
    regions = region_map(labels)
    assert set(np.unique(regions)) == {0, 4, 6}
    assert set(np.unique(region_map(labels, min_pixels=1))) == {4, 6, 7}


def test_region_map_counts_all_pixels_of_a_class_whatever_the_id():
    """Two values that are void together stay void, however many pixels they have."""
    assert columns(region_map(bars(0, 11, 11), 'train', void=[11])) == [1, 0, 0]


def test_region_map_of_instances_separates_objects_and_joins_void():
    labels = bars(26000, 26001, 26, 7, 0, 4, 29003, dtype=np.uint16)
    found = columns(region_map(labels, 'instance'))
    assert len(set(found)) == 6
    assert found[4] == found[5] == 1
    assert 0 not in found


def test_region_map_of_a_tiny_object_keeps_it():
    labels = bars(7, 7, dtype=np.uint16)
    labels[3, 3] = 24001
    assert region_map(labels, 'instance')[3, 3] != region_map(labels, 'instance')[0, 0]


@pytest.mark.parametrize('value', [-1, 300])
def test_region_map_of_values_outside_a_byte_is_refused(value):
    with pytest.raises(ValueError, match=r'0\.\.255 are needed'):
        region_map(bars(value, 1, dtype=np.int64))


def test_region_map_of_wide_integers_equals_that_of_bytes():
    labels = bars(3, 5, 255)
    np.testing.assert_array_equal(region_map(labels), region_map(labels.astype(np.int64)))
