"""``openseg``: verbs that load nothing before they are chosen."""

import json
import subprocess
import sys

import pytest

from openseg_plugin import __version__
from openseg_plugin.cli.main import VERBS, main

HEAVY = ('torch', 'mmengine', 'mmcv', 'mmseg', 'cv2', 'scipy', 'matplotlib')
LIGHT = ('config', 'flops', 'info', 'synth')


def heavy_modules(arguments: list[str]) -> list[str]:
    """Of the packages in HEAVY those that a run of ``openseg`` with the arguments imports."""
    code = (
        f'import sys\nsys.argv[1:] = {arguments}\nfrom openseg_plugin.cli.main import main\n'
        f'try:\n    main()\nexcept SystemExit:\n    pass\n'
        f'print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return json.loads(done.stderr.splitlines()[-1].replace("'", '"'))


@pytest.mark.parametrize('arguments', [['--help'], *([verb, '--help'] for verb in LIGHT)], ids=str)
def test_help_imports_nothing_heavy(arguments):
    assert heavy_modules(arguments) == []


def test_overview_names_every_verb(capsys):
    assert main(['--help']) == 0
    shown = capsys.readouterr().out
    assert all(f'\n  {verb} ' in shown for verb in VERBS)


def test_version(capsys):
    assert main(['--version']) == 0
    assert capsys.readouterr().out.split() == ['openseg_plugin', __version__]


def test_unknown_verb_is_answered_with_the_nearest(capsys):
    assert main(['tran']) == 2
    assert 'did you mean train?' in capsys.readouterr().err


def test_config_prints_what_differs(capsys):
    leaf = 'ocr/hrnet48_cityscapes_80k.py'
    assert main(['config', leaf, '--cfg-options', 'model.decode_head.num_classes=7']) == 0
    assert '80000' in capsys.readouterr().out
    assert main(['config', leaf, '--diff', 'ocr/hrnet18_cityscapes_80k.py', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['width'] == [18, 48]


def test_flops_counts_what_the_modules_hold(capsys):
    arguments = ['flops', 'ocr/hrnet18_cityscapes_80k.py', '--size', '64', '128', '--json']
    assert main(arguments) == 0
    small = json.loads(capsys.readouterr().out)
    arguments[4] = '256'
    assert main(arguments) == 0
    wide = json.loads(capsys.readouterr().out)
    assert small['parameters'] == wide['parameters'] > 12e6
    assert 1.9 < wide['multiply_adds'] / small['multiply_adds'] < 2.1
    assert wide['bytes'] > small['bytes'] > 64 * 128 * 3 * 4


def test_info_names_versions(capsys):
    assert main(['info', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['versions']['openseg_plugin'] == __version__
