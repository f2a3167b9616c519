import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import check_image, check_png, class_numbers, read_label


@pytest.fixture(params=['jpg', 'png'])
def image(tmp_path, request):
    path = tmp_path / f'x.{request.param}'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    return path


def test_check_image_complete_passes(image):
    assert check_image(str(image)) is None


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_check_image_cut_short_names_the_file(image, share):
    content = image.read_bytes()
    image.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=rf'{image.name} is cut short or broken'):
        check_image(str(image))


def test_check_image_with_bytes_appended_passes(image):
    image.write_bytes(image.read_bytes() + b'maker notes')
    assert check_image(str(image)) is None


def test_check_image_empty_names_the_file(image):
    image.write_bytes(b'')
    with pytest.raises(DataError, match='is an empty file'):
        check_image(str(image))


def test_check_image_missing_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r'y\.jpg is missing'):
        check_image(str(tmp_path / 'y.jpg'))


def test_check_image_of_another_format_passes(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.bmp'), np.zeros((2, 2, 3), np.uint8))
    assert check_image(str(tmp_path / 'x.bmp')) is None


def test_wrong_checksum_of_pixels_is_refused_and_of_a_comment_passes(tmp_path):
    path = tmp_path / 'x.png'
    info = PngInfo()
    info.add_text('Comment', 'street')
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, pnginfo=info)
    content = path.read_bytes()
    for word, is_refused in ((b'street', False), (b'IDAT', True), (b'IHDR', True)):
        damaged = bytearray(content)
        damaged[content.index(word) + len(word)] ^= 1
        path.write_bytes(damaged)
        assert (cv2.imread(str(path)) is None) == is_refused
        if is_refused:
            with pytest.raises(
                DataError, match=rf'x\.png is cut short or broken .*{word.decode()}'
            ):
                check_png(str(path))
        else:
            check_png(str(path))
    path.write_bytes(content[:40] + content[-12:])
    with pytest.raises(DataError, match='cut short or broken'):
        check_png(str(path))


@pytest.mark.parametrize('mode', ['L', 'P'])
def test_read_label_returns_the_stored_numbers(tmp_path, mode):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(values, 'L' if mode == 'L' else None)
    if mode == 'P':
        image = Image.new('P', (4, 3))
        image.putdata(values.ravel().tolist())
        image.putpalette([v for k in range(256) for v in (255 - k, 7, k)])
    image.save(tmp_path / 'x.png')
    assert np.array_equal(read_label(tmp_path / 'x.png'), values)


def test_class_numbers_of_small_16_bit_values_are_bytes(tmp_path):
    values = np.array([[0, 18], [255, 7]], np.uint16)
    cv2.imwrite(str(tmp_path / 'x.png'), values)
    path = tmp_path / 'x.png'
    label = class_numbers(read_label(path), path)
    assert label.dtype == np.uint8
    assert np.array_equal(label, values)


def test_class_numbers_of_an_instance_map_name_the_file(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.full((2, 2), 26001, np.uint16))
    with pytest.raises(DataError, match=r'x\.png .*26001.*instance'):
        class_numbers(read_label(tmp_path / 'x.png'), tmp_path / 'x.png')


def test_read_label_of_a_color_image_says_so(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DataError, match=r'x\.png is a color image \(3 channels\)'):
        read_label(tmp_path / 'x.png')


@pytest.mark.parametrize('kept', [0, 10, 40, 60])
def test_read_label_cut_short_names_the_file(tmp_path, kept):
    path = tmp_path / 'x.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 19, (20, 20), np.uint8))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r'x\.png cannot be decoded'):
        read_label(path)


def test_read_label_missing_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r'x\.png is missing'):
        read_label(tmp_path / 'x.png')


def test_read_label_from_bytes_needs_no_file(tmp_path):
    encoded = cv2.imencode('.png', np.full((2, 3), 5, np.uint8))[1].tobytes()
    assert (read_label('s3://x.png', content=encoded) == 5).all()


def test_read_label_of_probabilities_says_so(tmp_path):
    path = tmp_path / 'x.tif'
    Image.fromarray(np.array([[0, 3], [1, 7]], np.float32)).save(path)
    assert read_label(path).tolist() == [[0, 3], [1, 7]]
    Image.fromarray(np.array([[0, 0.7]], np.float32)).save(path)
    with pytest.raises(DataError, match=r'x\.tif holds fractions'):
        read_label(path)
