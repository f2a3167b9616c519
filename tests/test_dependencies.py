"""What the package imports is declared, and what is declared is pinned."""

import ast
import configparser
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / 'openseg_plugin'
# import name -> distribution, where they differ
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'mmcv': 'mmcv-lite',
    'mmseg': 'mmsegmentation',
    'yaml': 'pyyaml',
}
# in two forms that share their files: named in the requirements only, and checked on import
EITHER = {'opencv-python'}
# asked for where somebody else needs it, never needed
NOT_NEEDED = {'torchvision', 'pkg_resources'}
PYTHONS = ('3.10', '3.11', '3.12', '3.13')


def canonical(name: str) -> str:
    return re.sub('[-_.]+', '-', name).lower()


def imported() -> dict[str, str]:
    """Distribution -> a file that imports it, for all imports that are not of Python itself."""
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in (name.partition('.')[0] for name in names):
                if name not in sys.stdlib_module_names | NOT_NEEDED | {'openseg_plugin'}:
                    found[canonical(DISTRIBUTIONS.get(name, name))] = str(path)
    return found


def declared() -> dict[str, set[str]]:
    """Extra ('' for none) -> the distributions that setup.cfg names."""
    cfg = configparser.ConfigParser()
    cfg.read(PROJECT / 'setup.cfg')
    parts = {'': cfg['options']['install_requires'], **cfg['options.extras_require']}
    return {
        extra: {
            canonical(Requirement(line).name)
            for line in text.splitlines()
            if line.strip() and not line.startswith('#')
        }
        for extra, text in parts.items()
    }


def pins(name: str) -> list[Requirement]:
    lines = (PROJECT / name).read_text(encoding='utf-8').splitlines()
    lines = [line.partition('#')[0].strip() for line in lines]
    return [Requirement(line) for line in lines if line and not line.startswith('-')]


def names(requirements: list[Requirement]) -> set[str]:
    return {canonical(requirement.name) for requirement in requirements}


def test_every_import_is_declared():
    known = set().union(*declared().values()) | EITHER
    missing = {name: path for name, path in imported().items() if name not in known}
    assert not missing, 'declare these in setup.cfg, with an extra if they are heavy'


def test_every_dependency_of_the_package_itself_is_pinned():
    assert declared()[''] <= names(pins('requirements.txt'))


def test_neither_form_of_a_package_with_two_forms_is_a_dependency():
    forms = {'mmcv', 'mmcv-lite', 'opencv-python', 'opencv-python-headless'}
    assert not declared()[''] & forms
    assert not {'mmcv', 'opencv-python-headless'} & names(pins('requirements.txt'))


@pytest.mark.parametrize('name', ['requirements.txt', 'requirements-dev.txt'])
def test_requirements_pin_every_package_once_per_python(name):
    for python in PYTHONS:
        chosen = [
            pin.name
            for pin in pins(name)
            if pin.marker is None or pin.marker.evaluate({'python_version': python})
        ]
        assert len(chosen) == len(set(chosen))
    assert all([spec.operator for spec in pin.specifier] == ['=='] for pin in pins(name))


def test_tools_for_development_are_not_needed_at_run_time():
    assert not names(pins('requirements-dev.txt')) & names(pins('requirements.txt'))
    # those of the extras are there to be tested; torchvision is timm's
    extras = set().union(*declared().values()) - declared()['']
    assert names(pins('requirements-dev.txt')) <= extras | {'torchvision'}


def test_headless_requirements_bring_all_but_a_second_opencv():
    headless = names(pins('requirements-headless.txt'))
    without_deps = {'mmengine', 'mmcv-lite'}
    assert headless == names(pins('requirements.txt')) - without_deps - EITHER | {
        'opencv-python-headless'
    }
    for package in without_deps:
        for line in metadata.requires(package) or ():
            needed = Requirement(line)
            if needed.marker is None and canonical(needed.name) not in without_deps | EITHER:
                assert canonical(needed.name) in headless, package
    for package in headless - {'opencv-python-headless'}:
        asked = map(Requirement, metadata.requires(package) or ())
        assert not EITHER & {canonical(need.name) for need in asked if need.marker is None}


def test_pre_commit_runs_the_pinned_ruff():
    hooks = (PROJECT / '.pre-commit-config.yaml').read_text(encoding='utf-8')
    pinned = {pin.name: str(pin.specifier) for pin in pins('requirements-dev.txt')}
    assert f'rev: v{pinned["ruff"].removeprefix("==")}\n' in hooks
