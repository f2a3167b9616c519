import cv2
import numpy as np
import pytest
from PIL import Image

from openseg_plugin.datasets.label_table import label_table, read_label, to_train_values
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


@pytest.mark.parametrize('mode', ['L', 'P'])
def test_read_label_returns_the_stored_numbers(tmp_path, mode):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(values, 'L' if mode == 'L' else None)
    if mode == 'P':
        image = Image.new('P', (4, 3))
        image.putdata(values.ravel().tolist())
        image.putpalette([v for k in range(256) for v in (255 - k, 7, k)])
    image.save(tmp_path / 'x.png')
    assert np.array_equal(read_label(str(tmp_path / 'x.png')), values)


def test_read_label_of_small_16_bit_values_returns_bytes(tmp_path):
    values = np.array([[0, 18], [255, 7]], np.uint16)
    cv2.imwrite(str(tmp_path / 'x.png'), values)
    label = read_label(str(tmp_path / 'x.png'))
    assert label.dtype == np.uint8
    assert np.array_equal(label, values)


def test_read_label_of_an_instance_map_names_the_file(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.full((2, 2), 26001, np.uint16))
    with pytest.raises(DataError, match=r'x\.png .*26001.*instance'):
        read_label(str(tmp_path / 'x.png'))


def test_read_label_of_a_color_image_says_so(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DataError, match=r'x\.png is a color image \(3 channels\)'):
        read_label(str(tmp_path / 'x.png'))


@pytest.mark.parametrize('kept', [0, 10, 40, 60])
def test_read_label_cut_short_names_the_file(tmp_path, kept):
    path = tmp_path / 'x.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 19, (20, 20), np.uint8))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r'x\.png cannot be read'):
        read_label(str(path))


def test_read_label_missing_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r'x\.png is missing'):
        read_label(str(tmp_path / 'x.png'))


def test_read_label_from_bytes_needs_no_file(tmp_path):
    encoded = cv2.imencode('.png', np.full((2, 3), 5, np.uint8))[1].tobytes()
    assert (read_label('s3://x.png', content=encoded) == 5).all()


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
