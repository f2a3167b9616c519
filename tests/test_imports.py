"""Who imports whom: by reading the sources, and by importing every module on its own."""

import ast
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import openseg_plugin

PACKAGE = Path(openseg_plugin.__file__).parent
PROJECT = PACKAGE.parent
FRAMEWORK = {'mmcv', 'mmengine', 'mmseg'}
ARRAYS = {'cv2', 'numpy', 'PIL', 'scipy', 'torch'}

# part -> parts it may import besides itself, errors and utils
INSIDE = {
    '__init__': {'compat', 'inference.loading', 'inference.segmenter'},
    '__main__': {'cli'},
    'errors': set(),
    'paths': set(),
    'utils': set(),
    'compat': {'converters.checkpoints', 'paths'},
    'registry': {'compat'},
    'layers': set(),
    'report': {'__version__', 'evaluation'},
    'config': {'paths', 'registry', 'datasets'},
    'models': {'registry', 'layers', 'compat', 'config.queries', 'converters.checkpoints'},
    'datasets': {'registry'},
    'evaluation': {'registry'},
    'inference': {
        *('registry', 'layers', 'models', 'datasets', 'config', 'segfix', 'model_zoo'),
        *('converters.checkpoints', 'export', '__version__'),
    },
    'segfix': {
        *('registry', 'layers', 'models', 'datasets', 'evaluation', 'config', 'report'),
    },
    'converters': {'__version__', 'datasets.classes'},
    'data_checks': {'registry', 'config', 'datasets', 'converters', 'report'},
    'synth': {'converters.datasets'},
    'export': {
        *('layers', 'registry', 'report', 'synth', 'converters.checkpoints', '__version__'),
    },
    'engine': {
        *('registry', 'layers', 'compat', 'converters.checkpoints', 'data_checks', 'evaluation'),
        *('report', 'config', 'segfix', 'inference', 'models', 'export'),
    },
    'model_zoo': {'paths', 'registry'},
}
INSIDE['cli'] = set(INSIDE) - {'__init__', '__main__'} | {
    '__version__'
}  # knows all, and nothing knows it
# part -> packages of others it must not import, not even inside a function
NOT_OUTSIDE = {
    '__init__': FRAMEWORK | ARRAYS,
    'errors': FRAMEWORK | ARRAYS,
    'paths': FRAMEWORK | ARRAYS,
    'layers': {'mmengine', 'mmseg', 'cv2', 'PIL'},
    'report': FRAMEWORK | {'torch'},
    'synth': FRAMEWORK | {'torch'},
    'utils': {'mmcv', 'mmseg'},
    'converters': {'mmcv', 'mmseg'},
    'evaluation': {'mmcv', 'mmseg'},
}
# modules and packages that work where mmseg cannot be imported
PURE = (
    *('converters', 'report', 'synth', 'utils', 'datasets.classes', 'datasets.label_table'),
    *(f'segfix.{name}' for name in ('apply', 'refine', 'targets', 'offset_files')),
)


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], prefix='openseg_plugin.')
    return ['openseg_plugin', *(module.name for module in found)]


def part_of(module: str) -> str:
    return (module.split('.') + ['__init__'])[1]


def imported_names(module: str) -> set[str]:
    """Full dotted names that a module imports, at its top or inside functions."""
    path = PROJECT.joinpath(*module.split('.'))
    source = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{module}: relative import'
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def is_in(name: str, other: str) -> bool:
    return f'{name}.'.startswith(f'openseg_plugin.{other}.')


def is_allowed_inside(name: str, part: str) -> bool:
    allowed = INSIDE[part] | {'errors', 'utils'} | ({part} if part != '__init__' else set())
    return any(is_in(name, other) for other in allowed)


def test_every_part_has_its_rule():
    assert {part_of(module) for module in modules()} == set(INSIDE)


def test_every_pure_name_is_a_module():
    assert {f'openseg_plugin.{name}' for name in PURE} <= set(modules())


def wrong_imports(module: str) -> list[str]:
    part, names = part_of(module), imported_names(module)
    inside = {name for name in names if name.split('.')[0] == 'openseg_plugin'}
    wrong = sorted(name for name in inside if not is_allowed_inside(name, part))
    return wrong + sorted(name for name in names if name.split('.')[0] in NOT_OUTSIDE.get(part, ()))


def test_imports_follow_the_directions():
    wrong = {module: names for module in modules() if (names := wrong_imports(module))}
    assert not wrong, f'imports against the directions: {wrong}'


def test_every_allowance_is_used():
    names: dict[str, set[str]] = {}
    for module in modules():
        names.setdefault(part_of(module), set()).update(imported_names(module))
    unused = {
        (part, other)
        for part in set(INSIDE) - {'cli'}
        for other in INSIDE[part]
        if not any(is_in(name, other) for name in names[part])
    }
    assert not unused, f'take these out of INSIDE: {sorted(unused)}'


def test_layers_use_only_the_building_blocks_of_mmcv():
    names = {
        name
        for module in modules()
        if part_of(module) == 'layers'
        for name in imported_names(module)
        if name.split('.')[0] == 'mmcv'
    }
    assert names
    assert all(name.startswith('mmcv.cnn.') for name in names), names


def test_tools_only_call_the_package(subtests):
    for tool in (PROJECT / 'tools').glob('*.py'):
        with subtests.test(tool=tool.name):
            tree = ast.parse(tool.read_text(encoding='utf-8'))
            roots = set()
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    roots |= {alias.name.split('.')[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    roots.add(node.module.split('.')[0])
            assert roots <= {'openseg_plugin', '_checkout', *sys.stdlib_module_names}
            assert len(tool.read_text(encoding='utf-8').splitlines()) < 60


def is_pure(module: str) -> bool:
    name = module.removeprefix('openseg_plugin.')
    return any(name == pure or name.startswith(f'{pure}.') for pure in PURE)


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, 'PYTHONPATH': str(PROJECT), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_package_import_loads_nothing_heavy():
    heavy = sorted(FRAMEWORK | ARRAYS | {'importlib.metadata'})
    code = f'import sys, openseg_plugin; print([m for m in {heavy} if m in sys.modules])'
    assert run_python(code).stdout == '[]\n'


IMPORT_ALONE = """
import importlib, os, sys
import openseg_plugin, cv2, rich.progress, scipy.io, scipy.ndimage, mmseg.apis  # slow: once
failed = []
for module in sys.argv[1:]:
    child = os.fork()  # each module in a process where nothing of ours but the root is imported
    if child == 0:
        try:
            importlib.import_module(module)
            status = 0
        except BaseException as error:
            print(f'{module}: {type(error).__name__}: {error}', file=sys.stderr, flush=True)
            status = 1
        os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        failed.append(module)
print(failed)
"""


@pytest.mark.slow
def test_each_module_imports_in_a_fresh_process():
    done = run_python(IMPORT_ALONE, *modules())
    assert done.stdout.splitlines()[-1:] == ['[]'], done.stderr


IMPORT_WITHOUT_FRAMEWORK = """
import importlib, sys
for name in ('mmcv', 'mmengine', 'mmseg'):
    sys.modules[name] = None  # importing it fails
for module in sys.argv[1:]:
    importlib.import_module(module)
print('done')
"""


def test_pure_parts_import_without_the_framework():
    done = run_python(
        IMPORT_WITHOUT_FRAMEWORK, *(module for module in modules() if is_pure(module))
    )
    assert done.stdout == 'done\n', done.stderr
