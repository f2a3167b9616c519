"""What compat fixes, what it leaves alone, and the sentence for every wrong installation."""

import os
import pkgutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from openseg_plugin import compat
from openseg_plugin.cli.main import run
from openseg_plugin.errors import DependencyError

PROJECT = Path(compat.__file__).parents[2]
GOOD = dict(torch='2.13.0', mmengine='0.10.7', mmcv='2.1.0', mmseg='1.2.2')


def run_python(code: str, *folders: Path, cwd: Path = PROJECT) -> subprocess.CompletedProcess:
    """``python -c code`` that finds ``folders`` before everything that is installed."""
    paths = os.pathsep.join(map(str, (*folders, PROJECT)))
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', code]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def fake_package(folder: Path, name: str, version: str, *, code: str = '', **modules: str) -> None:
    package = folder / name
    package.mkdir()
    (package / '__init__.py').write_text(code)
    (package / 'version.py').write_text(f"__version__ = '{version}'\n")
    for module, text in modules.items():
        (package / f'{module}.py').write_text(text)


# --- compiled ops


IMPORT_EXT = """
import sys, openseg_plugin, mmcv
try:
    import mmcv._ext as ext
except ModuleNotFoundError:
    print('missing')
else:
    print('stand-in' if type(ext).__name__ == '_MissingOps' else 'own')
"""


@pytest.mark.parametrize(
    ('mmseg', 'has_ops', 'outcome'),
    [
        ('1.2.2', False, 'stand-in'),
        ('1.2.2', True, 'own'),
        ('1.4.2', False, 'missing'),
        ('1.4.2', True, 'own'),
    ],
)
def test_compiled_ops_are_stood_in_for_only_where_mmseg_cannot_do_without(
    tmp_path, mmseg, has_ops, outcome
):
    fake_package(tmp_path, 'mmseg', mmseg)
    fake_package(tmp_path, 'mmcv', '2.1.0', **(dict(_ext='') if has_ops else {}))
    done = run_python(IMPORT_EXT, tmp_path)
    assert done.stdout == f'{outcome}\n', done.stderr


def test_stand_in_when_called_names_the_op():
    ops = compat._MissingOps('mmcv._ext')
    with pytest.raises(NotImplementedError, match=r'"nms_rotated".*compiled mmcv'):
        ops.nms_rotated()
    with pytest.raises(AttributeError):
        _ = ops.__wrapped__  # inspect asks for such names and must get no


def test_mmcv_imported_first_is_fixed_too(tmp_path):
    fake_package(tmp_path, 'mmseg', '1.2.2')
    fake_package(tmp_path, 'mmcv', '2.1.0')
    done = run_python('import mmcv; import openseg_plugin, mmcv._ext; print("fine")', tmp_path)
    assert done.stdout == 'fine\n', done.stderr


# --- Python 3.14, setuptools 82, torchvision


def test_find_loader_where_python_dropped_it_is_back():
    code = (
        'import pkgutil; vars(pkgutil).pop("find_loader", None)\n'
        'import openseg_plugin\n'
        'print(pkgutil.find_loader("json") is not None, pkgutil.find_loader("no_such_module"))'
    )
    assert run_python(code).stdout == 'True None\n'


def test_find_loader_where_python_has_it_is_left_alone():
    assert pkgutil.find_loader.__module__ in ('pkgutil', 'openseg_plugin.compat')
    if sys.version_info < (3, 14):
        assert pkgutil.find_loader.__module__ == 'pkgutil'


def test_is_installed_needs_no_pkg_resources():
    from mmengine.utils import get_installed_path, is_installed

    assert is_installed('mmseg') and is_installed('torch')
    assert not is_installed('no_such_package')
    assert Path(get_installed_path('mmseg'), 'apis').is_dir()


def test_own_package_queries_agree_with_the_installed_files():
    assert compat.is_installed('pip') and compat.is_installed('pytest-xdist')
    assert compat.package2module('pytest-xdist') in ('xdist', 'pytest_xdist')
    assert Path(compat.get_installed_path('torch')) == Path(torch.__file__).parent
    with pytest.raises(metadata.PackageNotFoundError):
        compat.get_installed_path('no-such-package')
    with pytest.raises(metadata.PackageNotFoundError):
        compat.package2module('no-such-package')


@pytest.mark.skipif(
    not compat.is_installed('mmsegmentation'), reason='the fork does not find itself by this name'
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
        'print("TorchVision" in collect_env())'
    )
    done = run_python(code, tmp_path)
    assert done.stdout == 'False\n', done.stderr


# --- wrong installations


def check_with(monkeypatch, *, missing: str = '', numpy: str = '2.4.6', **versions: str) -> None:
    """``compat.check`` where ``missing`` is not installed and others have other versions."""
    find_spec, known = compat.importlib.util.find_spec, {**GOOD, **versions}
    monkeypatch.setattr(
        compat.importlib.util,
        'find_spec',
        lambda name, package=None: None if name == missing else find_spec(name, package),
    )
    monkeypatch.setattr(compat, '_version', lambda package: known[package])
    monkeypatch.setattr(metadata, 'version', lambda name: {'numpy': numpy}[name])
    monkeypatch.setattr(metadata, 'distributions', lambda name: [])
    compat.check.__wrapped__()


@pytest.mark.parametrize(
    'versions',
    [
        dict(),
        dict(mmcv='2.2.0', mmseg='1.4.2', mmengine='0.10.12'),
        dict(torch='2.1.2+cu118', numpy='1.26.4'),
        dict(torch='2.3.0'),
        dict(mmcv=''),
    ],
)
def test_good_combinations_pass(monkeypatch, versions):
    check_with(monkeypatch, **versions)


@pytest.mark.parametrize(
    ('missing', 'command'),
    [
        ('torch', 'pip install torch==2.13.0'),
        ('mmengine', 'pip install mmengine==0.10.7'),
        ('mmcv', 'pip install mmcv-lite==2.1.0'),
        ('mmseg', 'pip install mmsegmentation==1.2.2'),
        ('ftfy', 'pip install ftfy regex'),
        ('regex', 'pip install ftfy regex'),
    ],
)
def test_missing_dependency_is_named_with_its_command(monkeypatch, missing, command):
    with pytest.raises(DependencyError) as caught:
        check_with(monkeypatch, missing=missing)
    assert str(caught.value) == f'{missing} is needed but not installed: {command}'


@pytest.mark.parametrize(
    ('versions', 'sentence'),
    [
        (dict(mmcv='2.2.0'), 'mmcv 2.2.0 .* mmsegmentation 1.2.2 refuses .* mmcv-lite==2.1.0$'),
        (dict(mmcv='1.7.2'), 'mmcv 1.7.2 is installed, but 2.0 or newer, below 3.0 is needed'),
        (dict(mmseg='0.30.0'), 'mmseg 0.30.0 is installed, but 1.2 or newer, below 2.0 is needed'),
        (dict(mmengine='0.7.0'), 'mmengine 0.7.0 .* 0.10 or newer, below 1.0 is needed'),
        (dict(torch='2.0.1'), 'torch 2.0.1 is installed, but 2.1 or newer is needed: pip install'),
        (dict(torch='2.2.2'), 'torch 2.2.2 was built for numpy 1, but numpy 2.4.6 is installed'),
    ],
)
def test_versions_that_do_not_fit_are_refused(monkeypatch, versions, sentence):
    with pytest.raises(DependencyError, match=sentence):
        check_with(monkeypatch, **versions)


def write_distribution(folder: Path, name: str, version: str) -> None:
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def test_two_packages_over_the_same_files_are_refused(tmp_path, monkeypatch):
    write_distribution(tmp_path, 'mmengine', '0.10.7')
    write_distribution(tmp_path, 'onedl-mmengine', '0.10.12')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    with pytest.raises(DependencyError, match=r'installed over the same files.*pip uninstall'):
        compat._check_together()


def test_wrong_mmcv_reaches_the_user_through_mmseg(tmp_path):
    fake_package(tmp_path, 'mmcv', '2.2.0')
    fake_package(tmp_path, 'mmseg', '1.2.2')
    done = run_python('import openseg_plugin.registry', tmp_path)
    assert done.stderr.splitlines()[-1].startswith(
        'openseg_plugin.errors.DependencyError: mmcv 2.2.0 is installed, but'
    )


def test_tool_with_wrong_mmcv_says_one_sentence(tmp_path):
    fake_package(tmp_path, 'mmcv', '2.2.0')
    fake_package(tmp_path, 'mmseg', '1.2.2', code='raise AssertionError("MMCV==2.2.0 is used")')
    code = "from openseg_plugin.cli.main import run; exit(run('openseg_plugin.cli.train'))"
    done = run_python(code, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith('error: mmcv 2.2.0 is installed, but mmsegmentation 1.2.2')
    assert done.stderr.count('\n') == 1


def test_tool_whose_import_misses_a_package_says_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / 'some_tool.py').write_text('import no_such_package.part')
    monkeypatch.syspath_prepend(tmp_path)
    assert run('some_tool', []) == 2
    said = 'error: no_such_package is needed but not installed: pip install -r requirements.txt\n'
    assert capsys.readouterr().err == said


def test_version_is_read_without_importing(tmp_path, monkeypatch):
    fake_package(tmp_path, 'explodes', '3.4.5', code='raise RuntimeError')
    fake_package(tmp_path, 'fork', '0')
    (tmp_path / 'fork' / 'version.py').write_text("__version__ = version('pytest')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert compat._version('explodes') == '3.4.5'
    assert compat._version('fork') == pytest.__version__
    assert compat._version('no_such_package') == ''
