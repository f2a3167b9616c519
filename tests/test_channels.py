"""Images of other channels and types than RGB of 8 bits, through training, testing and drawing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import small_models  # noqa: F401  registers StandInBackbone
import tifffile
import toy_run
from PIL import Image
from toy_net import CLASSES

from openseg_plugin.cli.check_dataset import main as run_check
from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main as run_predict
from openseg_plugin.cli.test import main as run_test

# channels, type, ending, how the pipeline reads it
KINDS = {
    'RGBA PNG': (4, np.uint8, '.png', dict(color_type='unchanged')),
    'gray 16-bit PNG': (1, np.uint16, '.png', dict(color_type='unchanged')),
    '5-band 16-bit TIFF': (
        5, np.uint16, '.tif', dict(color_type='unchanged', imdecode_backend='tifffile')
    ),
    '7-band 16-bit TIFF': (
        7, np.uint16, '.tif', dict(color_type='unchanged', imdecode_backend='tifffile')
    ),
    'gray float TIFF': (
        1, np.float32, '.tif', dict(color_type='unchanged', imdecode_backend='tifffile')
    ),
    '2-band float TIFF': (
        2, np.float32, '.tif', dict(color_type='unchanged', imdecode_backend='tifffile')
    ),
}  # fmt: skip


def write_data(folder: Path, channels: int, kind: type, ending: str) -> Path:
    """``folder/{train,val}/{image,label}``: 3 images each, brighter where the class is higher."""
    generator = np.random.default_rng(0)
    scale = {np.uint8: 80, np.uint16: 20000, np.float32: 0.3}[kind]
    for split in ('train', 'val'):
        for k in range(3):
            label = generator.integers(0, len(CLASSES), (3, 4), dtype=np.uint8)
            label = label.repeat(12, 0).repeat(12, 1)
            image = (label[..., None] * generator.uniform(0.5, 1, channels) * scale).astype(kind)
            place = folder / split / 'image' / f'{k}{ending}'
            for path in (place, folder / split / 'label' / f'{k}.png'):
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(label).save(path)
            if ending == '.tif':
                tifffile.imwrite(place, image)
            else:
                cv2.imwrite(str(place), image)
    return folder


@pytest.mark.parametrize('name', KINDS)
def test_training_testing_and_drawing_take_images_of_any_channels(name, tmp_path):
    channels, kind, ending, reading = KINDS[name]
    data = write_data(tmp_path / 'data', channels, kind, ending)
    loading = [dict(type='LoadImageFromFile', **reading), dict(type='openseg_plugin.LoadLabels')]
    augment = [
        *loading,
        dict(type='openseg_plugin.RandomResize', scale_range=(0.8, 1.2)),
        dict(type='openseg_plugin.RandomBrightness'),
        dict(type='openseg_plugin.RandomCrop', crop_size=(32, 32)),
        dict(type='openseg_plugin.RandomFlip'),
        dict(type='PackSegInputs'),
    ]
    val = toy_run.loader(data, 'val', [*loading, dict(type='PackSegInputs')], batch_size=1)
    train = toy_run.loader(data, 'train', augment, batch_size=2, shuffle=True)
    for loader in (val, train):
        loader['dataset']['img_suffix'] = ending
    top = 60000.0 if kind is np.uint16 else 1.0 if kind is np.float32 else 255.0
    model = dict(
        type='openseg_plugin.EncoderDecoder',
        backbone=dict(
            type='openseg_plugin.StandInBackbone', channels=(4,), strides=(4,), inputs=channels
        ),
        decode_head=dict(
            type='openseg_plugin.FCNHead', in_channels=4, channels=4, num_classes=len(CLASSES)
        ),
        data_preprocessor=dict(
            type='openseg_plugin.SegDataPreProcessor',
            mean=[top / 4] * channels,
            std=[top / 4] * channels,
            size=(32, 32),
        ),
    )
    config = toy_run.toy_config(
        tmp_path,
        data,
        custom_imports=dict(imports=['openseg_plugin', 'toy_run', 'small_models']),
        model=model,
        train_dataloader=train,
        val_dataloader=val,
        test_dataloader=val,
        test_evaluator=dict(type='openseg_plugin.IoUMetric'),
        test_cfg=dict(type='TestLoop'),
        train_cfg=dict(max_iters=2, val_interval=2),
        default_hooks=dict(checkpoint=dict(interval=2), visualization=dict(draw=False)),
    )
    assert toy_run.train(config, tmp_path / 'work') == 0
    checkpoint = (tmp_path / 'work/last_checkpoint').read_text()
    for options in ([], ['--aug-test', '--scales', '1', '0.8']):
        shown = tmp_path / f'shown{len(options)}'
        arguments = [config, checkpoint, '--work-dir', tmp_path / 'test', '--show-dir', shown]
        names = ['--cfg-options', f'experiment_name={shown}', f'visualizer.name={shown}']
        assert run(run_test, [*map(str, arguments), *options, *names]) == 0
        drawings = sorted(shown.iterdir())
        assert [drawing.name for drawing in drawings] == ['0.jpg', '1.jpg', '2.jpg']
        assert cv2.imread(str(drawings[0])).std() > 20
    assert_read_alike_everywhere(config, checkpoint, data, tmp_path)


def assert_read_alike_everywhere(config: Path, checkpoint: str, data: Path, folder: Path) -> None:
    """Check, prediction and report read what the pipeline reads."""
    assert run(run_check, [str(config), '--cache', str(folder / 'cache')]) == 0
    labels = [folder / 'tested', folder / 'predicted']
    options = ['--out', str(labels[0]), '--report', str(folder / 'report')]
    names = ['--cfg-options', f'experiment_name={folder}', f'visualizer.name={folder}']
    assert (
        run(run_test, [str(config), checkpoint, '--work-dir', str(folder), *options, *names]) == 0
    )
    images = str(data / 'val' / 'image')
    assert run(run_predict, [str(config), checkpoint, images, '--out', str(labels[1])]) == 0
    tested, predicted = (sorted(place.rglob('*.png')) for place in labels)
    predicted = [path for path in predicted if path.parent.name != 'overlay']
    assert len(tested) == len(predicted) == 3
    for one, other in zip(tested, predicted):
        assert np.array_equal(cv2.imread(str(one), -1), cv2.imread(str(other), -1))
    shown = sorted((folder / 'report' / 'images').glob('*.jpg'))
    assert [path.name for path in shown] == ['0.jpg', '1.jpg', '2.jpg']
    assert cv2.imread(str(shown[0])).std() > 20
