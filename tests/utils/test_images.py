import cv2
import numpy as np
import pytest

from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import check_image


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
