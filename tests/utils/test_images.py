import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import check_image, check_png


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
