"""mmengine imports torchvision to log its version, and ends the run where that fails.

For: mmengine 0.10 (``mmengine.utils.dl_utils.collect_env``) beside a torchvision that was built for
another torch, which raises a RuntimeError when it is imported; mmengine expects an ImportError.
Ends when: mmengine catches whatever that import raises.
"""

import functools
import importlib
import sys
from types import ModuleType

from openseg_plugin.compat.import_hooks import after_import, replace_everywhere


def install() -> None:
    """Log what there is, and leave a torchvision out that cannot be imported."""
    after_import({'mmengine.utils.dl_utils.collect_env': _replace})


def _replace(module: ModuleType) -> None:
    collect = module.collect_env

    @functools.wraps(collect)
    def collect_env() -> dict:
        try:
            importlib.import_module('torchvision')
        except ModuleNotFoundError:
            pass
        except Exception:  # a compiled part that does not fit can raise anything
            sys.modules['torchvision'] = None  # type: ignore[assignment]  # means "not installed"
            try:
                return collect()
            finally:
                del sys.modules['torchvision']
        return collect()

    replace_everywhere(collect, collect_env)
