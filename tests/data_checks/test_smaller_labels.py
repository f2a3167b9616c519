"""Labels that are smaller than their images by design: CelebAMask-HQ."""

import numpy as np
import pytest
from PIL import Image

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.datasets.classes import CELEBAMASK_CLASSES
from openseg_plugin.paths import config_path


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Images of 1024x1024 with labels of 512x512 in all classes, as the converter writes them."""
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    label = (np.arange(512 * 512) % len(CELEBAMASK_CLASSES)).astype(np.uint8).reshape(512, 512)
    generator = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        for kind in ('image', 'label'):
            (tmp_path / 'celebamask_hq' / split / kind).mkdir(parents=True)
        folder = tmp_path / 'celebamask_hq' / split
        image = generator.integers(0, 256, (1024, 1024, 3), np.uint8)
        Image.fromarray(image).save(folder / 'image/0.jpg')
        Image.fromarray(label).save(folder / 'label/0.png')
    return tmp_path / 'celebamask_hq'


def run(faces) -> int:
    config = str(config_path('ocr/hrnet48_celebamask_150k.py'))
    return main([config, '--cache', str(faces.parent / 'cache')])


def test_config_that_shrinks_images_first_may_start(faces, capsys):
    assert run(faces) == 0
    assert 'No findings' in capsys.readouterr().out


def test_label_of_another_size_than_the_shrunk_image_stops(faces, capsys):
    with Image.open(faces / 'val/label/0.png') as label:
        label.resize((1024, 1024), Image.NEAREST).save(faces / 'val/label/0.png')
    assert run(faces) == 1
    assert '0.png is 1024x1024, its image is 512x512' in capsys.readouterr().out


def test_folder_of_the_converter_knows_the_size_of_its_labels(faces, capsys):
    entries = '"format": 1, "converter": "x", "splits": {}, "classes": ["x"]'
    arguments = [
        str(faces),
        '--classes',
        *CELEBAMASK_CLASSES,
        '--cache',
        str(faces.parent / 'cache'),
    ]
    (faces / 'dataset.json').write_text(f'{{{entries}}}')
    assert main(arguments) == 1
    assert '0.png is 512x512, its image is 1024x1024' in capsys.readouterr().out
    (faces / 'dataset.json').write_text(f'{{{entries}, "label_size": [512, 512]}}')
    assert main(arguments) == 0
