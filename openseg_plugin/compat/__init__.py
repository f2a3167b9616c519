"""The only module that knows about versions of Python, PyTorch, mmengine, mmcv and mmseg.

:func:`apply` fixes what today's Python and PyTorch broke in them, :func:`check` refuses what cannot
work and says what to install. Nothing heavy is imported here: the fix of a module waits until
somebody imports that module, and does nothing where nothing is missing.
"""

import functools
import importlib.machinery
import importlib.util
import math
import os
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

from openseg_plugin.compat import config_names
from openseg_plugin.compat.import_hooks import after_import
from openseg_plugin.errors import DependencyError

TRUST_VARIABLE = 'OPENSEG_PLUGIN_TRUST_CHECKPOINTS'

# import name: command, oldest version, first version that is too new
_NEEDED = {
    'torch': ('pip install torch==2.13.0', (2, 1), None),
    'mmengine': ('pip install mmengine==0.10.7', (0, 10), (1,)),
    'mmcv': ('pip install mmcv-lite==2.1.0', (2,), (3,)),
    'mmseg': ('pip install mmsegmentation==1.2.2', (1, 2), (2,)),
    'ftfy': ('pip install ftfy regex', (), None),  # mmseg.models needs both and declares neither
    'regex': ('pip install ftfy regex', (), None),
}
_SAME_FILES = (
    ('mmengine', 'onedl-mmengine'),
    ('mmsegmentation', 'onedl-mmsegmentation'),
    ('mmcv', 'mmcv-lite'),
)
_FIRST_FORK = (1, 3)  # mmseg 1.2.2 is the last official release; the onedl fork continues at 1.3


@functools.cache
def apply() -> None:
    """Fix what is missing. Costs milliseconds; a second call does nothing."""
    if not hasattr(pkgutil, 'find_loader'):  # gone in Python 3.14; mmengine 0.10 and mmcv call it
        pkgutil.find_loader = _find_loader
    after_import(
        {
            'mmcv': _stand_in_for_compiled_ops,
            'mmengine.utils.package_utils': _replace_pkg_resources,
            'mmengine.utils.dl_utils.collect_env': _survive_broken_torchvision,
            'mmengine.runner.checkpoint': _read_checkpoints_safely,
        }
    )
    config_names.install()


def trust_checkpoints(trust: bool) -> None:
    """Whether checkpoint files may run code while they are read, in this process and its children.

    Only for files whose origin you trust; ``--trust-checkpoint`` of the tools. The environment
    variable ``OPENSEG_PLUGIN_TRUST_CHECKPOINTS=1`` does the same for programs of others.
    """
    os.environ[TRUST_VARIABLE] = '1' if trust else '0'


def checkpoints_are_trusted() -> bool:
    """What :func:`trust_checkpoints` or the environment variable says; False without either."""
    return os.environ.get(TRUST_VARIABLE, '0') == '1'


@functools.cache
def check() -> None:
    """Whether everything that models and datasets stand on is there and fits together.

    Raises:
        DependencyError: one sentence: what was found, what is needed, the command.
    """
    for package, (command, oldest, too_new) in _NEEDED.items():
        if importlib.util.find_spec(package) is None:
            raise DependencyError(f'{package} is needed but not installed: {command}')
        found = _version(package) if oldest else ''
        if found and not oldest <= _numbers(found) < (too_new or (math.inf,)):
            wanted = f'{_dotted(oldest)} or newer' + (f', below {too_new[0]}.0' if too_new else '')
            raise DependencyError(
                f'{package} {found} is installed, but {wanted} is needed: {command}'
            )
    _check_together()


def _check_together() -> None:
    from importlib import metadata

    for names in _SAME_FILES:
        found = {dist.name: dist.version for n in names for dist in metadata.distributions(name=n)}
        if len(set(found.values())) > 1:
            both = ' and '.join(f'{name} {version}' for name, version in found.items())
            raise DependencyError(
                f'{both} are installed over the same files, so neither is whole: '
                f'pip uninstall {" ".join(found)}, then install one of them with --no-deps'
            )
    mmcv, mmseg, torch = _version('mmcv'), _version('mmseg'), _version('torch')
    if () < _numbers(mmseg) < _FIRST_FORK and _numbers(mmcv) >= (2, 2):
        raise DependencyError(
            f'mmcv {mmcv} is installed, but mmsegmentation {mmseg} refuses mmcv 2.2 and newer: '
            'pip uninstall mmcv mmcv-lite, then pip install mmcv-lite==2.1.0'
        )
    numpy = metadata.version('numpy')
    if () < _numbers(torch) < (2, 3) and _numbers(numpy) >= (2,):
        raise DependencyError(
            f'torch {torch} was built for numpy 1, but numpy {numpy} is installed: '
            'pip install numpy==1.26.4'
        )


def _version(package: str) -> str:
    """Version that ``version.py`` of a package states, without importing it; '' without one."""
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).with_name('version.py') if spec and spec.origin else Path()
    text = file.read_text(encoding='utf-8') if file.is_file() else ''
    stated = re.search(r"^__version__ = (version\()?'([^']+)'", text, re.MULTILINE)
    if stated is None:
        return ''
    if stated.group(1):  # the fork: version('onedl-mmengine')
        from importlib import metadata

        return metadata.version(stated.group(2))
    return stated.group(2)


def _numbers(version: str) -> tuple[int, ...]:
    """'2.13.0+cpu' -> (2, 13, 0)."""
    return tuple(int(part) for part in re.match(r'[\d.]*', version)[0].split('.') if part)


def _dotted(numbers: tuple[int, ...]) -> str:
    return '.'.join(map(str, numbers)) if len(numbers) > 1 else f'{numbers[0]}.0'


class _MissingOps(ModuleType):
    """Stand-in for ``mmcv._ext``: importing works, calling a compiled op says how to get it."""

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(
                f'the compiled mmcv op "{name}" was called, but mmcv-lite has none; '
                'nothing in openseg_plugin needs it. Install a compiled mmcv==2.1.0 to use it.'
            )

        return missing


def _stand_in_for_compiled_ops(mmcv: ModuleType) -> None:
    """mmseg 1.2 imports ``mmcv.ops`` unguarded; the fork does without and is left alone."""
    name = 'mmcv._ext'
    needs_ops = () < _numbers(_version('mmseg')) < _FIRST_FORK
    if not needs_ops or name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    module = _MissingOps(name)
    # loader=None: mmengine's "are there compiled ops" questions keep answering no
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    sys.modules[name] = mmcv._ext = module


def _read_checkpoints_safely(checkpoint_module: ModuleType) -> None:
    from openseg_plugin.compat import checkpoint_reading

    checkpoint_reading.install(checkpoint_module)


def _survive_broken_torchvision(collect_env_module: ModuleType) -> None:
    """A torchvision built for another torch raises RuntimeError when it is imported.

    mmengine imports it only to log its version, and would end every run there.
    """
    collect = collect_env_module.collect_env

    @functools.wraps(collect)
    def collect_env() -> dict:
        try:
            import torchvision  # noqa: F401
        except ModuleNotFoundError:
            pass
        except Exception:
            sys.modules['torchvision'] = None  # "not installed" to whoever asks next
        return collect()

    _replace_everywhere(collect, collect_env)


def _replace_everywhere(old, new) -> None:
    """Put ``new`` in the place of a function, also where it was imported by name before us."""
    for module in list(sys.modules.values()):
        if getattr(module, '__dict__', {}).get(old.__name__) is old:
            setattr(module, old.__name__, new)


def _find_loader(fullname: str):
    """``pkgutil.find_loader`` as Python 3.13 and older have it."""
    spec = importlib.util.find_spec(fullname)
    return spec.loader if spec is not None else None


def _replace_pkg_resources(package_utils: ModuleType) -> None:
    """mmengine 0.10 asks pkg_resources what is installed; setuptools 82 dropped it."""
    uses_it = 'pkg_resources' in Path(package_utils.__file__).read_text(encoding='utf-8')
    if not uses_it or importlib.util.find_spec('pkg_resources') is not None:
        return
    for function in (is_installed, get_installed_path, package2module):
        _replace_everywhere(getattr(package_utils, function.__name__), function)


def is_installed(package: str) -> bool:
    """Whether a distribution or an importable package has this name."""
    from importlib import metadata

    if any(metadata.distributions(name=package)):
        return True
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """Folder of an installed package, named as a distribution or as a module.

    Raises:
        importlib.metadata.PackageNotFoundError: when neither is installed.
    """
    from importlib import metadata

    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent)
    return str(metadata.distribution(package).locate_file(package2module(package)))


def package2module(package: str) -> str:
    """Name to import of a distribution.

    Raises:
        ValueError: when the distribution does not say.
    """
    from importlib import metadata

    names = (metadata.distribution(package).read_text('top_level.txt') or '').split()
    if not names:
        raise ValueError(f'can not infer the module name of {package}')
    return names[0]
