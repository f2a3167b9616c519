"""Images of many bands, 16 bits or floats are read as the config reads them, and are no damage."""

import cv2
import numpy as np
import pytest
import small_set
from mmcv.transforms import BaseTransform

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module(force=True)
class LoadBands(BaseTransform):
    """Reads (H, W, C) arrays, as somebody's own loader might."""

    def transform(self, results: dict) -> dict:
        results['img'] = np.load(results['img_path'], allow_pickle=False)
        return results


def bands(kind: type, channels: int, seed: int) -> np.ndarray:
    shape = (small_set.HEIGHT, small_set.WIDTH, channels)
    return (np.random.default_rng(seed).random(shape) * 200).astype(kind)


@pytest.mark.parametrize(('kind', 'channels'), [(np.uint16, 4), (np.uint16, 1), (np.float32, 3)])
def test_tiff_images_in_a_folder_have_no_findings(tmp_path, capsys, kind, channels):
    data = small_set.write(tmp_path / 'data')
    for seed, path in enumerate(sorted(data.glob('*/image/*.png'))):
        assert cv2.imwrite(str(path.with_suffix('.tif')), bands(kind, channels, seed))
        path.unlink()
    assert main([str(data), '--num-classes', '3', '--cache', str(tmp_path / 'cache')]) == 0
    text = capsys.readouterr().out
    assert 'No findings' in text and '4 images, 4 labels; width x height 12x8 (4)' in text


@pytest.mark.parametrize('is_broken', [False, True])
def test_the_loader_of_the_config_reads_what_nothing_else_does(tmp_path, capsys, is_broken):
    data = small_set.write(tmp_path / 'data')
    for seed, path in enumerate(sorted(data.glob('*/image/*.png'))):
        np.save(path.with_suffix('.npy'), bands(np.float32, 13, seed))
        path.unlink()
    if is_broken:
        (data / 'train' / 'image' / '1.npy').write_bytes(b'\x93NUMPY cut')
    config = small_set.config(tmp_path / 'c.py', data)
    text = config.read_text().replace("img_suffix='.png'", "img_suffix='.npy'")
    config.write_text(text.replace("'LoadImageFromFile'", "'openseg_plugin.LoadBands'"))
    status = main([str(config), '--cache', str(tmp_path / 'cache')])
    text = capsys.readouterr().out
    assert status == int(is_broken)
    assert ('1 file cannot be read; 1.npy' in text) is is_broken
    assert ('No findings' in text) is not is_broken
