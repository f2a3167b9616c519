import numpy as np
import pytest

from openseg_plugin.datasets.label_table import label_table, to_train_values
from openseg_plugin.errors import DataError


def test_label_table_without_options_keeps_classes_and_the_ignored_value():
    table = label_table(3)
    assert table[:3].tolist() == [0, 1, 2]
    assert table[255] == 255
    assert (table[3:255] == -1).all()


@pytest.mark.parametrize('zero, expected', [(False, [0, 1, 2, -1]), (True, [255, 0, 1, 2])])
def test_label_table_reduces_zero_label_as_mmseg_does(zero, expected):
    table = label_table(3, reduce_zero_label=zero)
    assert table[:4].tolist() == expected
    assert table[255] == 255


def test_label_table_maps_after_reduction_and_ignores_void():
    table = label_table(2, reduce_zero_label=True, label_map={0: 255, 1: 0, 2: 1}, void_ids=(9,))
    assert table[:4].tolist() == [255, 255, 0, 1]
    assert table[9] == 255
    assert table[4] == -1


def test_to_train_values_names_values_and_pixels():
    label = np.zeros((4, 5), np.uint8)
    label[0, :3], label[1, 0] = 33, 7
    with pytest.raises(DataError) as caught:
        to_train_values(label, label_table(3), path='a/b.png')
    message = str(caught.value)
    assert 'a/b.png holds values outside the classes: 7 (1 pixel), 33 (3 pixels)' in message
    assert 'allowed are 0..2, 255' in message


def test_to_train_values_of_many_wrong_values_lists_eight():
    label = np.arange(40, dtype=np.uint8).reshape(5, 8)
    with pytest.raises(DataError, match=r'\(1 pixel\) and 30 more; allowed'):
        to_train_values(label, label_table(2), path='x')


def test_to_train_values_maps_by_the_table():
    label = np.array([[0, 1, 2, 255]], np.uint8)
    table = label_table(2, reduce_zero_label=True)
    assert to_train_values(label, table, path='x').tolist() == [[255, 0, 1, 255]]
