"""One JSON file that is broken does not keep the others from being converted."""

import json

import numpy as np
import pytest
from PIL import Image

from openseg_plugin.cli.convert_dataset import main
from openseg_plugin.errors import DataError


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'src'
    folder.mkdir()
    shape = {'label': 'wire', 'shape_type': 'polygon', 'points': [[1, 1], [9, 1], [9, 9]]}
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(folder / 'good.png')
    content = {'shapes': [shape], 'imagePath': 'good.png', 'imageHeight': 12, 'imageWidth': 16}
    (folder / 'good.json').write_text(json.dumps(content))
    Image.fromarray(np.ones((12, 16, 3), np.uint8)).save(folder / 'bad.png')
    (folder / 'bad.json').write_text('{"shapes": [')
    return folder


def test_others_are_converted_with_keep_going(source, tmp_path, capsys):
    target = tmp_path / 'dst'
    assert main(['labelme', str(source), str(target), '--keep-going']) == 1
    text = capsys.readouterr().out
    assert 'bad.json is not valid JSON' in text and 'left out' not in text
    assert [path.name for path in (target / 'train' / 'label').iterdir()] == ['good.png']


def test_broken_file_is_named_without(source, tmp_path):
    with pytest.raises(DataError, match=r'bad\.json is not valid JSON'):
        main(['labelme', str(source), str(tmp_path / 'dst')])
