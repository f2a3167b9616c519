"""Images that an exported file is compared and calibrated on."""

import numpy as np
import pytest
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.export.sample_images import calibration_images


@pytest.mark.parametrize('ending', ['.tif', '.png'])
def test_images_of_8_bits_are_read_and_those_of_16_refused(tmp_path, ending):
    values = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(values).save(tmp_path / f'a{ending}')
    (image,) = calibration_images(tmp_path, None)
    np.testing.assert_array_equal(image, values)
    Image.fromarray(values[..., 0].astype(np.uint16) * 900).save(tmp_path / f'b{ending}')
    with pytest.raises(DataError, match=r'b\.\w+ has more than 8 bits a channel'):
        calibration_images(tmp_path, None)
