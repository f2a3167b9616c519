"""mmengine and mmcv ask ``pkgutil.find_loader``, which Python 3.14 dropped.

For: mmengine 0.10, mmcv 2.1 on Python >= 3.14.
Ends when: both use ``importlib.util.find_spec``, or Python 3.13 is the newest that they run on.
"""

import importlib.util
import pkgutil
from importlib.abc import Loader


def install() -> None:
    """Bring the function back where Python has none."""
    if not hasattr(pkgutil, 'find_loader'):
        pkgutil.find_loader = _find_loader


def _find_loader(fullname: str) -> Loader | None:
    """``pkgutil.find_loader`` as Python 3.13 and older have it."""
    spec = importlib.util.find_spec(fullname)
    return spec.loader if spec is not None else None
