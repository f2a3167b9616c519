"""mmengine asks pkg_resources what is installed; setuptools 82 and newer come without it.

For: mmengine 0.10 (``mmengine.utils.package_utils``) beside setuptools >= 82.
Ends when: mmengine asks ``importlib.metadata`` (the file no longer names pkg_resources); until then
nothing is replaced where pkg_resources can be imported.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

from openseg_plugin.compat.import_hooks import after_import, replace_everywhere


def install() -> None:
    """Answer the questions of ``mmengine.utils.package_utils`` from the installed metadata."""
    after_import({'mmengine.utils.package_utils': _replace})


def _replace(package_utils: ModuleType) -> None:
    uses_it = 'pkg_resources' in Path(str(package_utils.__file__)).read_text(encoding='utf-8')
    if not uses_it or importlib.util.find_spec('pkg_resources') is not None:
        return
    for function in (is_installed, get_installed_path, package2module):
        replace_everywhere(getattr(package_utils, function.__name__), function)


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
