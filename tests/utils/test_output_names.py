"""utils/images.py: names of results, images for eyes."""

import numpy as np
import pytest
from in_one_test import in_one_test

from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import OutputNames, for_display


def test_sub_folders_stay_and_what_all_folders_share_goes():
    names = OutputNames(['/data/a/image', '/data/b/image'])
    assert names.of('/data/a/image/x/1.jpg') == 'a/image/x/1'
    assert names.of('/data/b/image/x/1.jpg') == 'b/image/x/1'
    assert names.of('/elsewhere/1.jpg') == '1'
    one = OutputNames(['/data/a/image'])
    assert one.of('/data/a/image/x/1.jpg') == 'x/1'
    assert one.of('/data/a/image/x/1.jpg') == 'x/1'  # a distributed sampler repeats images


@pytest.mark.parametrize(
    ('folders', 'first', 'second'),
    [([], '/a/1.jpg', '/b/1.jpg'), (['/a'], '/a/1.jpg', '/a/1.png')],
)
def test_two_images_of_one_name_are_refused(folders, first, second):
    names = OutputNames(folders)
    names.of(first)
    with pytest.raises(DataError, match=r'1\.jpg'):
        names.of(second)


@in_one_test('channels', [None, 1, 2, 3, 4, 7])
@in_one_test('kind', [np.uint8, np.uint16, np.float32])
def test_images_of_any_type_can_be_shown(channels, kind):
    shape = (6, 7) if channels is None else (6, 7, channels)
    values = np.random.default_rng(0).uniform(0, 1, shape)
    image = (values * {np.uint8: 255, np.uint16: 65535, np.float32: 0.01}[kind]).astype(kind)
    shown = for_display(image)
    assert (shown.shape, shown.dtype) == ((6, 7, 3), np.uint8)
    assert shown.max() > 200 > 60 > shown.min()
