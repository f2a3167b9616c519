"""A torchvision for another torch, and a timm or none beside it: what imports, what is said.

Each case is a fresh process with stand-ins for the packages, so it needs neither of them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from openseg_plugin import compat

PROJECT = Path(compat.__file__).parents[2]
# what torchvision does while it is imported, where its compiled part did not load
DESCRIBES_NMS = """
import torch
from torchvision import ops
@torch.library.register_fake('torchvision::nms')
def nms(boxes, scores, threshold): ...
@torch.library.register_fake('torchvision::qnms')
def qnms(boxes, scores, threshold): ...
__version__ = '0.28.0'
"""
BROKEN_FOR_GOOD = 'import torch; torch.library.register_fake("torchvision::new")(lambda x: x)'
IMPORT_TIMM = """
import openseg_plugin
from openseg_plugin.compat.torchvision import import_timm
from openseg_plugin.errors import DependencyError
try:
    print(import_timm().SAYS)
except DependencyError as error:
    print(error)
"""


def package(folder, name, code):
    (folder / name).mkdir()
    (folder / name / '__init__.py').write_text(code)
    if name == 'torchvision':
        (folder / name / 'ops.py').write_text('')


def run(code, folder):
    paths = os.pathsep.join(map(str, (folder, PROJECT)))
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchvision_whose_operators_are_missing_imports_once_they_are_declared(tmp_path):
    package(tmp_path, 'torchvision', DESCRIBES_NMS)
    package(tmp_path, 'timm', 'import torchvision.ops; SAYS = "timm is there"')
    stock = 'try:\n    import torchvision\nexcept RuntimeError as error:\n    print(error)'
    assert 'torchvision::nms does not exist' in run(stock, tmp_path)
    assert run('import openseg_plugin, torchvision; print(torchvision.__version__)', tmp_path)
    assert run(IMPORT_TIMM, tmp_path) == 'timm is there\n'


def test_torchvision_that_cannot_be_helped_is_no_torchvision(tmp_path):
    package(tmp_path, 'torchvision', BROKEN_FOR_GOOD)
    package(tmp_path, 'timm', 'import torchvision.ops')
    said = run(IMPORT_TIMM, tmp_path)
    assert 'timm does not import beside torch' in said and 'torchvision::new' in said
    # mmseg.models imports timm behind "except ImportError" alone
    assert run('import openseg_plugin, mmseg.models; print("fine")', tmp_path) == 'fine\n'


@pytest.mark.parametrize('error', ['ValueError("mine")', 'RuntimeError("mine")'])
def test_other_errors_of_torchvision_stay_as_they_are(tmp_path, error):
    package(tmp_path, 'torchvision', f'raise {error}')
    kind = error.split('(')[0]
    code = f'import openseg_plugin\ntry:\n    import torchvision\nexcept {kind} as e:\n    print(e)'
    assert run(code, tmp_path) == 'mine\n'


def test_timm_without_torchvision_is_said_with_the_command(tmp_path):
    package(tmp_path, 'timm', 'import torchvision_that_is_missing')
    assert 'pip install torchvision_that_is_missing' in run(IMPORT_TIMM, tmp_path)
