"""Wrong installations: one sentence with what was found, what is needed and the command."""

import sys
from importlib import metadata
from pathlib import Path

import pytest
from fake_packages import fake_package, run_python
from in_one_test import in_one_test

from openseg_plugin.cli.main import run
from openseg_plugin.compat import versions
from openseg_plugin.errors import DependencyError

GOOD = dict(torch='2.13.0', mmengine='0.10.7', mmcv='2.1.0', mmseg='1.2.2')


def check_with(monkeypatch, *, missing: str = '', numpy: str = '2.4.6', **found: str) -> None:
    """``versions.check`` where ``missing`` is not installed and others have other versions."""
    find_spec, known = versions.importlib.util.find_spec, {**GOOD, **found}
    monkeypatch.setattr(
        versions.importlib.util,
        'find_spec',
        lambda name, package=None: None if name == missing else find_spec(name, package),
    )
    monkeypatch.setattr(versions, 'version_of', lambda package: known[package])
    monkeypatch.setattr(metadata, 'version', lambda name: {'numpy': numpy}[name])
    monkeypatch.setattr(metadata, 'distributions', lambda name: [])
    versions.check.__wrapped__()


@in_one_test(
    'found',
    [
        dict(),
        dict(mmcv='2.2.0', mmseg='1.4.2', mmengine='0.10.12'),
        dict(torch='2.1.2+cu118', numpy='1.26.4'),
        dict(torch='2.3.0'),
        dict(mmcv=''),
    ],
)
def test_good_combinations_pass(monkeypatch, found):
    check_with(monkeypatch, **found)


@in_one_test(
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


@in_one_test(
    ('found', 'sentence'),
    [
        (dict(mmcv='2.2.0'), 'mmcv 2.2.0 .* mmsegmentation 1.2.2 refuses .* mmcv-lite==2.1.0$'),
        (dict(mmcv='1.7.2'), 'mmcv 1.7.2 is installed, but 2.0 or newer, below 3.0 is needed'),
        (dict(mmseg='0.30.0'), 'mmseg 0.30.0 is installed, but 1.2 or newer, below 2.0 is needed'),
        (dict(mmengine='0.7.0'), 'mmengine 0.7.0 .* 0.10 or newer, below 1.0 is needed'),
        (dict(torch='2.0.1'), 'torch 2.0.1 is installed, but 2.1 or newer is needed: pip install'),
        (dict(torch='2.2.2'), 'torch 2.2.2 was built for numpy 1, but numpy 2.4.6 is installed'),
    ],
)
def test_versions_that_do_not_fit_are_refused(monkeypatch, found, sentence):
    with pytest.raises(DependencyError, match=sentence):
        check_with(monkeypatch, **found)


def write_distribution(folder: Path, name: str, version: str) -> None:
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def test_two_packages_over_the_same_files_are_refused(tmp_path, monkeypatch):
    write_distribution(tmp_path, 'mmengine', '0.10.7')
    write_distribution(tmp_path, 'onedl-mmengine', '0.10.12')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    with pytest.raises(DependencyError, match=r'installed over the same files.*pip uninstall'):
        versions._check_together()


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
    code = (
        "from openseg_plugin.cli.main import run; exit(run('openseg_plugin.cli.train', ['c.py']))"
    )
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
    assert versions.version_of('explodes') == '3.4.5'
    assert versions.version_of('fork') == pytest.__version__
    assert versions.version_of('no_such_package') == ''
