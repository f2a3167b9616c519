"""openseg predict --save geotiff: labels lie where their image lies."""

import numpy as np
import pytest
from PIL import Image
from toy_test_set import write_test_set

from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main

rasterio = pytest.importorskip('rasterio')


def test_labels_lie_where_their_image_lies(tmp_path):
    config, weights = write_test_set(tmp_path, number=1)
    image = np.asarray(Image.open(tmp_path / 'data/val/image/00.png').convert('RGB'))
    place = dict(crs='EPSG:32633', transform=rasterio.transform.from_origin(4e5, 5e6, 2, 2))
    path = tmp_path / 'field.tif'
    shape = dict(height=36, width=48, count=3, dtype='uint8')
    with rasterio.open(path, 'w', driver='GTiff', **shape, **place) as file:
        file.write(image.transpose(2, 0, 1))
    out = tmp_path / 'out'
    words = [config, weights, path, '--out', out, '--save', 'labels', 'geotiff']
    assert run(main, [str(word) for word in words]) == 0
    with rasterio.open(out / 'geotiff/field.tif') as file:
        assert (file.crs, file.transform) == (rasterio.crs.CRS.from_epsg(32633), place['transform'])
        assert file.colormap(1)[2] == (180, 180, 180, 255)
        assert np.array_equal(file.read(1), np.asarray(Image.open(out / 'field.png')))
