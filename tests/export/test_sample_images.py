"""Images that an exported file is compared and calibrated on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from PIL import Image
from toy_segmentor import segmentor_config
from toy_test_set import write_test_set

from openseg_plugin.converters.checkpoints.stored_config import as_data
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.export.graph import GraphOptions
from openseg_plugin.export.job import ExportJob, ModelToExport, export_model
from openseg_plugin.export.sample_images import calibration_images, images_to_check, reader
from openseg_plugin.export.session import ExportedModel
from openseg_plugin.registry import MODELS


@pytest.mark.parametrize('ending', ['.tif', '.png'])
def test_images_of_8_bits_are_read_and_those_of_16_refused(tmp_path, ending):
    values = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(values).save(tmp_path / f'a{ending}')
    (image,) = calibration_images(tmp_path, None)
    np.testing.assert_array_equal(image, values)
    Image.fromarray(values[..., 0].astype(np.uint16) * 900).save(tmp_path / f'b{ending}')
    with pytest.raises(DataError, match=r'b\.\w+ has more than 8 bits a channel'):
        calibration_images(tmp_path, None)


@pytest.fixture
def toy(tmp_path) -> tuple[dict, Path]:
    """Config as data, and its test set of images of 36x48 pixels."""
    init_default_scope('mmseg')
    config, _ = write_test_set(tmp_path, number=3)
    return as_data(Config.fromfile(config).to_dict()), tmp_path / 'data/val'


def test_images_and_labels_are_those_of_the_test_set_at_the_size_of_the_file(toy):
    config, folder = toy
    whole = images_to_check('auto', config, None)
    assert (whole.source, len(whole.images)) == ('test set', 3)
    with Image.open(folder / 'label/00.png') as label:
        np.testing.assert_array_equal(whole.annotations[0], label)
    # classes come in blocks of 12 pixels, of 6 at half the size
    for check in ('auto', str(folder)):
        small = images_to_check(check, config, (18, 24))
        assert small.images[1].shape == (18, 24, 3)
        np.testing.assert_array_equal(small.annotations[1], whole.annotations[1][::2, ::2])
    assert small.source == str(folder)


def test_scenes_are_drawn_only_where_the_test_set_is_not_here(toy):
    config, folder = toy
    (folder / 'image/02.png').write_bytes(b'no image')
    with pytest.raises(DataError, match=r'test set of the config: .*02\.png .*give --check DIR'):
        images_to_check('auto', config, None)
    for path in (folder / 'image').iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r'test set of the config: .* has no images'):
        images_to_check('auto', config, None)
    shutil.rmtree(folder / 'image')
    drawn = images_to_check('auto', config, (36, 48))
    assert (drawn.source, drawn.annotations) == ('drawn scenes', [None])
    assert images_to_check('auto', {}, None, channels=5).images[1].shape == (128, 256, 5)


def test_files_are_read_as_the_test_pipeline_does(tmp_path):
    init_default_scope('mmseg')
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / 'a.png')
    step = dict(type='LoadImageFromFile')
    np.testing.assert_array_equal(reader(step, 3)(tmp_path / 'a.png'), values)
    gray = reader(dict(step, color_type='grayscale'), 1)(tmp_path / 'a.png')
    assert (gray.shape, gray.dtype) == ((4, 6, 1), np.uint8)
    floats = reader(dict(step, to_float32=True), 3)(tmp_path / 'a.png')
    np.testing.assert_array_equal(floats, values)
    assert floats.dtype == np.uint8
    with pytest.raises(DataError, match=r'a\.png is loaded with 3 channels, .* takes 5: give'):
        reader(step, 5)(tmp_path / 'a.png')
    (tmp_path / 'b.png').write_bytes(b'no image')
    with pytest.raises(DataError, match=r'b\.png cannot be read as the test pipeline'):
        reader(step, 3)(tmp_path / 'b.png')


def test_files_of_many_bands_are_read_where_the_pipeline_does(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    init_default_scope('mmseg')
    values = np.random.default_rng(0).integers(0, 900, (4, 6, 5), dtype=np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', values, photometric='minisblack', planarconfig='contig')
    step = dict(type='LoadImageFromFile', color_type='unchanged', imdecode_backend='tifffile')
    np.testing.assert_array_equal(reader(step, 5)(tmp_path / 'a.tif'), values)
    (image,) = calibration_images(tmp_path, (8, 12), reader(step, 5))
    assert image.shape == (8, 12, 5)


def of_channels(channels: int, step: dict) -> ModelToExport:
    init_default_scope('mmseg')
    torch.manual_seed(1)
    settings = segmentor_config()
    settings['backbone']['inputs'] = channels
    settings['data_preprocessor'].update(
        type='openseg_plugin.SegDataPreProcessor', mean=[100.0] * channels, std=[50.0] * channels
    )
    model = MODELS.build(ConfigDict(settings)).eval()
    palette = [(one, one, one) for one in range(5)]
    return ModelToExport(model, 'abcde', palette, {}, None, [], loading=step)


def test_gray_models_are_checked_on_gray_images(tmp_path):
    (tmp_path / 'in').mkdir()
    values = np.random.default_rng(0).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / 'in/a.png')
    source = of_channels(1, dict(type='LoadImageFromFile', color_type='grayscale'))
    job = ExportJob(tmp_path / 'a.pt2', GraphOptions(size=(36, 48)), check=str(tmp_path / 'in'))
    said: list[str] = []
    told = export_model(source, job, said=said.append)
    assert told['check']['source'] == str(tmp_path / 'in') and str(tmp_path / 'in') in said[0]
    about = ExportedModel(job.out).metadata
    assert about.image_channels == 1 and about.check['source'] == str(tmp_path / 'in')
    job = ExportJob(tmp_path / 'b.pt2', GraphOptions(size=(36, 48)))
    assert export_model(source, job, said=said.append)['check']['source'] == 'drawn scenes'


def test_images_of_16_bits_need_an_input_that_takes_them(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    values = np.random.default_rng(0).integers(0, 900, (36, 48, 5), dtype=np.uint16)
    (tmp_path / 'in').mkdir()
    tifffile.imwrite(tmp_path / 'in/a.tif', values, photometric='minisblack', planarconfig='contig')
    step = dict(type='LoadImageFromFile', color_type='unchanged', imdecode_backend='tifffile')
    source, check = of_channels(5, step), str(tmp_path / 'in')
    job = ExportJob(tmp_path / 'a.pt2', GraphOptions(size=(36, 48)), check=check)
    with pytest.raises(ConfigError, match='loads uint16: give --input float-nchw'):
        export_model(source, job)
    options = GraphOptions(size=(36, 48), layout='float-nchw')
    told = export_model(source, ExportJob(tmp_path / 'a.pt2', options, check=check))
    assert told['check']['differing'] <= 2
