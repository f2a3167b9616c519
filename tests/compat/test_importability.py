"""What makes stock importable, what is left alone, and that it costs nothing."""

import pkgutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from fake_packages import fake_package, run_python
from mmengine.config import Config

from openseg_plugin.compat import pkg_resources
from openseg_plugin.compat.compiled_ops import MissingOps

# mmcv.utils.ext_loader as far as mmcv.ops uses it
EXT_LOADER = """
import importlib

def load_ext(name, functions):
    return importlib.import_module('mmcv.' + name)
"""
ASK_FOR_OPS = """
import importlib.util, sys
import openseg_plugin
import mmcv
from mmcv import ext_loader
sys.modules['mmcv.utils.ext_loader'] = ext_loader
from openseg_plugin.compat import compiled_ops
compiled_ops._stand_in(ext_loader)
try:
    found = type(ext_loader.load_ext('_ext', ['nms'])).__name__
except ModuleNotFoundError:
    found = 'error'
print(found, importlib.util.find_spec('mmcv._ext') is not None)
"""


@pytest.mark.parametrize(
    ('mmseg', 'has_ops', 'outcome'),
    [
        ('1.2.2', False, 'MissingOps False'),
        ('1.2.2', True, 'module True'),
        ('1.4.2', False, 'error False'),
        ('1.4.2', True, 'module True'),
    ],
)
def test_compiled_ops_are_stood_in_for_only_where_mmseg_cannot_do_without(
    tmp_path, mmseg, has_ops, outcome
):
    fake_package(tmp_path, 'mmseg', mmseg)
    ops = dict(_ext='') if has_ops else {}
    fake_package(tmp_path, 'mmcv', '2.1.0', ext_loader=EXT_LOADER, **ops)
    done = run_python(ASK_FOR_OPS, tmp_path)
    assert done.stdout == f'{outcome}\n', done.stderr


@pytest.mark.parametrize('first', ['openseg_plugin', 'mmcv.utils.ext_loader'])
def test_whoever_asks_for_compiled_ops_hears_the_truth_and_mmseg_imports(first):
    code = (
        f'import {first}, openseg_plugin, importlib.util, mmcv.ops, mmseg.models\n'
        'from mmengine.utils.dl_utils import mmcv_full_available\n'
        'print(importlib.util.find_spec("mmcv._ext"), mmcv_full_available())'
    )
    done = run_python(code)
    assert done.stdout == 'None False\n', done.stderr


def test_stand_in_when_called_names_the_op():
    ops = MissingOps('mmcv._ext')
    with pytest.raises(NotImplementedError, match=r'"nms_rotated".*compiled mmcv'):
        ops.nms_rotated()
    with pytest.raises(AttributeError):
        _ = ops.__wrapped__  # inspect asks for such names and must get no


def test_importing_the_package_imports_nothing_heavy():
    code = (
        'import sys, openseg_plugin\n'
        'heavy = {"torch", "numpy", "mmengine", "mmcv", "mmseg", "yaml", "PIL", "cv2", "scipy"}\n'
        'print(sorted(heavy & set(sys.modules)), len(sys.modules) < 250)'
    )
    assert run_python(code).stdout == '[] True\n'


def test_find_loader_where_python_dropped_it_is_back():
    code = (
        'import pkgutil; vars(pkgutil).pop("find_loader", None)\n'
        'import openseg_plugin\n'
        'print(pkgutil.find_loader("json") is not None, pkgutil.find_loader("no_such_module"))'
    )
    assert run_python(code).stdout == 'True None\n'


def test_find_loader_where_python_has_it_is_left_alone():
    assert pkgutil.find_loader.__module__ in ('pkgutil', 'openseg_plugin.compat.find_loader')
    if sys.version_info < (3, 14):
        assert pkgutil.find_loader.__module__ == 'pkgutil'


def test_is_installed_needs_no_pkg_resources():
    from mmengine.utils import get_installed_path, is_installed

    assert is_installed('mmseg') and is_installed('torch')
    assert not is_installed('no_such_package')
    assert Path(get_installed_path('mmseg'), 'apis').is_dir()


def test_own_package_queries_agree_with_the_installed_files():
    assert pkg_resources.is_installed('pip') and pkg_resources.is_installed('pytest-xdist')
    assert pkg_resources.package2module('pytest-xdist') in ('xdist', 'pytest_xdist')
    assert Path(pkg_resources.get_installed_path('torch')) == Path(torch.__file__).parent
    with pytest.raises(metadata.PackageNotFoundError):
        pkg_resources.get_installed_path('no-such-package')
    with pytest.raises(metadata.PackageNotFoundError):
        pkg_resources.package2module('no-such-package')


@pytest.mark.skipif(
    not pkg_resources.is_installed('mmsegmentation'),
    reason='the fork does not find itself by this name',
)
def test_configs_can_inherit_from_mmseg(tmp_path):
    config = tmp_path / 'leaf.py'
    config.write_text("_base_ = ['mmseg::_base_/default_runtime.py']\n")
    assert Config.fromfile(config).default_scope == 'mmseg'


def test_torchvision_of_another_torch_does_not_end_the_run(tmp_path):
    broken = 'raise RuntimeError("operator torchvision::nms does not exist")'
    fake_package(tmp_path, 'torchvision', '0.28.0', code=broken)
    code = (
        'import openseg_plugin\n'
        'from mmengine.utils.dl_utils import collect_env\n'
        'import sys\n'
        'print(collect_env().get("TorchVision", "none")[:1], "torchvision" in sys.modules)'
    )
    done = run_python(code, tmp_path)
    # the version that the package installer noted, if one is installed; nothing is imported
    assert done.stdout in ('0 False\n', 'n False\n'), done.stderr


# what mmseg imports for one class or function each, and which of its names that is
WAITING = """
import sys
import openseg_plugin
import mmseg.models, mmseg.datasets
names = ('timm', 'torchvision', 'scipy.interpolate', 'scipy.optimize', 'scipy.ndimage', 'pandas')
print([name for name in (*names, 'matplotlib.pyplot') if name in sys.modules])
import numpy as np
from mmseg.datasets.transforms import transforms
from mmseg.models.assigners.hungarian_assigner import linear_sum_assignment
from mmseg.models.backbones import beit
from mmseg.models.losses.huasdorff_distance_loss import distance
print(*(part.tolist() for part in linear_sum_assignment(np.array([[2, 1], [1, 5]]))))
print(transforms.gaussian_filter(np.full((3, 3), 2.0), sigma=1).tolist()[0])
print(distance(np.array([[1, 1, 0]])).tolist(), beit.interpolate.interp1d.__name__)
import scipy.optimize
print(linear_sum_assignment is not scipy.optimize.linear_sum_assignment)
"""


def test_mmseg_imports_what_single_functions_need_when_they_are_called():
    done = run_python(WAITING)
    said = ['[]', '[0, 1] [1, 0]', '[2.0, 2.0, 2.0]', '[[2.0, 1.0, 0.0]] interp1d', 'True']
    assert done.stdout.splitlines() == said, done.stderr


def test_a_package_that_is_missing_is_missed_at_once(tmp_path):
    code = (
        'import importlib.util as u; find = u.find_spec\n'
        "u.find_spec = lambda n, p=None: None if n == 'timm' else find(n, p)\n"
        "import sys; sys.modules['timm'] = None\n"
        'import openseg_plugin\n'
        'from mmseg.models.backbones import timm_backbone\n'
        'print(timm_backbone.timm)\n'
    )
    done = run_python(code)
    assert done.stdout == 'None\n', done.stderr
