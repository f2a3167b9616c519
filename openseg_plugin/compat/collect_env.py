"""mmengine imports torchvision to log its version, which takes a second, and may end the run.

For: mmengine 0.10 (``mmengine.utils.dl_utils.collect_env``). A torchvision that was built for
another torch raises a RuntimeError when it is imported; mmengine expects an ImportError.
Ends when: mmengine asks for the version without importing the package.
"""

import functools
import sys
from importlib import metadata
from types import ModuleType

from openseg_plugin.compat.import_hooks import after_import, replace_everywhere


def install() -> None:
    """Log the version of torchvision as its package says it, without importing it."""
    after_import({'mmengine.utils.dl_utils.collect_env': _replace})


def _replace(module: ModuleType) -> None:
    collect = module.collect_env

    @functools.wraps(collect)
    def collect_env() -> dict:
        if 'torchvision' in sys.modules:
            return collect()
        try:
            stand_in = ModuleType('torchvision')
            stand_in.__version__ = metadata.version('torchvision')  # type: ignore[attr-defined]
            sys.modules['torchvision'] = stand_in
        except metadata.PackageNotFoundError:
            sys.modules['torchvision'] = None  # type: ignore[assignment]  # "not installed"
        try:
            return collect()
        finally:
            del sys.modules['torchvision']

    replace_everywhere(collect, collect_env)
