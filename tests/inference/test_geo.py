"""openseg predict --save tiff geotiff: labels lie where their image lies."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from toy_test_set import write_test_set

from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main
from openseg_plugin.inference.results import write_geotiff, write_tiff

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


@pytest.mark.parametrize('kind', [np.uint8, np.uint16], ids=['uint8', 'uint16'])
def test_tiffs_of_several_tiles_hold_the_labels(tmp_path, kind):
    labels = np.random.default_rng(0).integers(0, 3, (300, 530)).astype(kind)
    palette = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 255]], np.uint8)
    write_tiff(tmp_path / 'plain.tif', labels, palette)
    with tifffile.TiffFile(tmp_path / 'plain.tif') as file:
        page = file.pages[0]
        assert page.is_tiled and page.compression != 1
        assert np.array_equal(page.asarray(), labels)
        if kind == np.uint8:
            assert np.array_equal(page.colormap[:, :3] // 257, palette.T)
    place = dict(crs='EPSG:32633', transform=rasterio.transform.from_origin(4e5, 5e6, 2, 2))
    source = tmp_path / 'source.tif'
    with rasterio.open(source, 'w', 'GTiff', 530, 300, 1, dtype='uint8', **place) as file:
        file.write(np.zeros((300, 530), np.uint8), 1)
    write_geotiff(tmp_path / 'geo.tif', labels, palette, str(source))
    with rasterio.open(tmp_path / 'geo.tif') as file:
        assert np.array_equal(file.read(1), labels) and file.transform == place['transform']
