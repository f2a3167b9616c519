"""An installed copy is whole: every module, data file and config, found from anywhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openseg_plugin import paths
from openseg_plugin.errors import ConfigError

PROJECT = Path(paths.__file__).resolve().parent.parent
SOURCES = ('openseg_plugin', 'configs')
BUILD_FILES = ('setup.py', 'setup.cfg', 'pyproject.toml', 'README.md')
NOT_SHIPPED = shutil.ignore_patterns('__pycache__', '*.pyc')
LEAF = 'ocr/hrnet48_cityscapes_80k.py'


def files_of(folder: Path) -> set[str]:
    found = (path for path in folder.rglob('*') if path.is_file() and path.suffix != '.pyc')
    return {path.relative_to(folder).as_posix() for path in found}


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """Folder into which pip installed a copy of the project, without a network."""
    folder = tmp_path_factory.mktemp('packaging')
    copy, site = folder / 'copy', folder / 'site'  # the tree may change while the tests run
    for source in SOURCES:
        shutil.copytree(PROJECT / source, copy / source, ignore=NOT_SHIPPED)
    for name in BUILD_FILES:
        shutil.copy(PROJECT / name, copy / name)
    options = ['--quiet', '--no-deps', '--no-build-isolation', '--no-index', '--target', str(site)]
    command = [sys.executable, '-m', 'pip', 'install', *options, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


def run_installed(installed: Path, code: str) -> subprocess.CompletedProcess:
    """Run ``code`` in the root folder, where only the installed copy can be found."""
    environment = {**os.environ, 'PYTHONPATH': str(installed)}
    command = [sys.executable, '-c', code]
    return subprocess.run(command, env=environment, cwd='/', capture_output=True, text=True)


def test_installed_copy_has_every_file(installed):
    copy = installed.with_name('copy')
    package = files_of(copy / 'openseg_plugin')
    configs = {f'configs/{name}' for name in files_of(copy / 'configs')}
    assert files_of(installed / 'openseg_plugin') == package | configs
    assert {path.name for path in installed.iterdir() if path.suffix != '.dist-info'} <= {
        'openseg_plugin',
        'bin',
    }


def test_installed_config_is_found_and_read(installed):
    done = run_installed(
        installed,
        'import openseg_plugin, openseg_plugin.paths\n'
        'from mmengine.config import Config\n'
        f'path = openseg_plugin.paths.config_path({LEAF!r})\n'
        'print(path); print(Config.fromfile(path).model.type)',
    )
    assert done.stdout.split() == [
        str(installed / 'openseg_plugin' / 'configs' / LEAF),
        'openseg_plugin.EncoderDecoder',
    ], done.stderr


@pytest.mark.parametrize('name', [LEAF, f'configs/{LEAF}', LEAF.removesuffix('.py')])
def test_checkout_config_is_found(name):
    assert paths.config_path(name) == PROJECT / 'configs' / LEAF


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('ocr/hrnet48_cityscape_80k.py', f'near matches: {LEAF}'),
        ('hrnet48_cityscapes_80k.py', f'near matches: .*{LEAF}'),
        ('zzz', 'it has the folders .*ocr'),
        ('../setup.py', 'there is no config'),
    ],
)
def test_unknown_config_names_near_ones(name, hint):
    with pytest.raises(ConfigError, match=hint):
        paths.config_path(name)


def test_requirements_pin_every_package_once_per_python():
    from packaging.requirements import Requirement

    lines = (PROJECT / 'requirements.txt').read_text().splitlines()
    pins = [Requirement(line.partition('#')[0]) for line in lines if line.partition('#')[0].strip()]
    for python in ('3.10', '3.11', '3.12', '3.13'):
        names = [
            pin.name
            for pin in pins
            if pin.marker is None or pin.marker.evaluate({'python_version': python})
        ]
        assert len(names) == len(set(names))
    assert all([spec.operator for spec in pin.specifier] == ['=='] for pin in pins)
    assert not {'mmcv', 'opencv-python-headless'} & {pin.name for pin in pins}
