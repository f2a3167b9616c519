"""What is registered: names, scope, and that mmseg finds it."""

import ast
import subprocess
import sys
from pathlib import Path

from mmengine.registry import Registry

from openseg_plugin import registry

PROJECT = Path(registry.__file__).parent.parent
REGISTRIES = {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}


def registered(child: Registry) -> dict[str, type]:
    """Everything of this package in one registry; tests may have registered toys of their own."""
    child.import_from_location()
    return {
        name: found
        for name, found in child.module_dict.items()
        if found.__module__.startswith('openseg_plugin.')
    }


def test_registered_names_are_class_names_in_our_scope(subtests):
    for kind, child in REGISTRIES.items():
        with subtests.test(kind):
            found = registered(child)
            assert found, f'{kind} is empty: a registry that nobody uses'
            assert child.scope == registry.SCOPE == 'openseg_plugin'
            assert child.parent.scope == 'mmseg'
            assert {name: cls.__name__ for name, cls in found.items()} == {n: n for n in found}


def test_no_class_is_registered_in_two_registries():
    all_found = [cls for child in REGISTRIES.values() for cls in registered(child).values()]
    assert len(all_found) == len(set(all_found))


def test_registration_takes_the_class_name_and_replaces_nothing():
    named = [
        f'{path}:{node.lineno}'
        for path in sorted((PROJECT / 'openseg_plugin').rglob('*.py'))
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'register_module'
        if node.args or node.keywords
    ]
    assert not named, f'registered under another name or by force: {named}'


FIND = """
import openseg_plugin  # all that custom_imports of our configs names
from mmseg.registry import DATASETS, HOOKS, MODELS, TRANSFORMS
found = [MODELS.get('openseg_plugin.OCRHead'), DATASETS.get('openseg_plugin.SegDataset'),
         TRANSFORMS.get('openseg_plugin.MultiScaleViews'),
         HOOKS.get('openseg_plugin.CheckpointHook')]
print(*(cls.__name__ for cls in found))
"""


def test_scoped_names_are_found_when_only_the_package_was_imported():
    done = subprocess.run(
        [sys.executable, '-c', FIND], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    found = ['OCRHead', 'SegDataset', 'MultiScaleViews', 'CheckpointHook']
    assert done.stdout.splitlines()[-1:] == [' '.join(found)], done.stderr
