"""One list of image endings: what the converters accept, the datasets read."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.datasets.custom import CustomDataset
from openseg_plugin.utils.files import IMAGE_ENDINGS, LABEL_ENDINGS, split_of_word


def test_images_of_every_ending_that_is_converted_are_read_for_training(tmp_path: Path) -> None:
    names = [f'{k}{ending}' for k, ending in enumerate(IMAGE_ENDINGS)]
    (tmp_path / 'raw').mkdir()
    for name in names:
        pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'raw' / name)
        polygon = {'label': 'wire', 'points': [[2, 2], [9, 2], [9, 9]]}
        content = {'imagePath': name, 'shapes': [polygon]}
        (tmp_path / 'raw' / name).with_suffix('.json').write_text(json.dumps(content))
    quiet = Settings(show_progress=False, workers=1)
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=quiet)
    dataset = CustomDataset(
        data_root=str(tmp_path / 'dst'),
        data_prefix={'img_path': 'train/image', 'seg_map_path': 'train/label'},
        metainfo={'classes': tuple(report.summary['classes'])},
        pipeline=[LoadImageFromFile()],
    )
    assert len(dataset) == len(IMAGE_ENDINGS)
    assert all(dataset[k]['img'].shape == (24, 32, 3) for k in range(len(dataset)))


@pytest.mark.parametrize('word', ['Valid', 'validation', 'VAL'])
def test_words_for_the_validation_split_are_one_split(word: str) -> None:
    assert split_of_word(word) == 'val' and split_of_word(f'in{word}') is None


def test_labels_may_have_every_ending_of_images() -> None:
    assert set(IMAGE_ENDINGS) < set(LABEL_ENDINGS)
