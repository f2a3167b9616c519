"""``convert_dataset.py ... --check`` compares the files, and then asks the data check."""

import json

import numpy as np
import small_set
from PIL import Image

from openseg_plugin.cli.convert_dataset import main


def test_check_runs_the_doctor_and_gives_its_status(tmp_path, capsys):
    raw = small_set.write(tmp_path / 'raw')
    arguments = ['masks', str(raw), str(tmp_path / 'dst'), '--classes', *small_set.CLASSES]
    arguments += ['--image-folder', 'image', '--label-folder', 'label']
    assert main(arguments) == 0
    assert 'data check' not in capsys.readouterr().out
    assert main([*arguments, '--check']) == 0
    text = capsys.readouterr().out
    assert 'checked: 8 agree, 0 do not' in text and 'No findings: training may start' in text
    extra = np.zeros((small_set.HEIGHT, small_set.WIDTH, 3), np.uint8)
    Image.fromarray(extra).save(tmp_path / 'dst' / 'train' / 'image' / 'more.png')
    assert main([*arguments, '--check']) == 1
    assert '[STOPS TRAINING] 1 of 9 images has no label' in capsys.readouterr().out


def test_json_says_what_was_made(tmp_path, capsys):
    raw = small_set.write(tmp_path / 'raw')
    arguments = ['masks', str(raw), str(tmp_path / 'dst'), '--classes', *small_set.CLASSES]
    assert main([*arguments, '--image-folder', 'image', '--label-folder', 'label', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['samples'] == {'train': 4, 'val': 4} and told['made'] == 8
    assert told['dst'] == str(tmp_path / 'dst') and told['classes'] == list(small_set.CLASSES)
