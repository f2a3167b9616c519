"""A torchvision that was built for another torch does not import, and takes timm with it.

For: torchvision 0.17 to 0.29 whose compiled part does not load, beside any torch.
Ends when: torchvision imports without its compiled part.

The wheels describe two of their compiled operators to torch while they are imported, and fail with
"operator torchvision::nms does not exist" where the compiled part does not load. Once these
operators are declared, everything in Python imports: all that timm needs. Calling a compiled
operator stays an error, which torchvision words itself.

Where that does not help either, the failure becomes an ``ImportError``: ``mmseg.models`` imports
timm, and with it torchvision, behind ``except ImportError`` alone.
"""

import importlib.util
import re
import sys
from types import ModuleType
from typing import Any

from openseg_plugin.compat.import_hooks import Execute, around_import
from openseg_plugin.errors import DependencyError

# as torchvision 0.15 to 0.29 declare them in C++
_DECLARATIONS = (
    'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
)
_MISSING_OPERATOR = re.compile(r'operator torchvision::\w+ does not exist')
_declared: list[Any] = []  # torch forgets what it was told when the library object goes


def install() -> None:
    """From now on ``import torchvision`` survives a compiled part for another torch."""
    around_import({'torchvision': _import_torchvision})


def _import_torchvision(execute: Execute, module: ModuleType) -> None:
    """Run torchvision's own code, if need be a second time with its operators declared.

    Raises:
        ImportError: it fails nevertheless.
    """
    try:
        execute(module)
        return
    except RuntimeError as error:
        if _MISSING_OPERATOR.search(str(error)) is None:
            raise
    _forget_parts()
    _declare_operators()
    try:
        execute(module)
    except RuntimeError as error:
        _forget_parts()
        raise ImportError(
            f'the installed torchvision does not fit torch {_torch_version()} ({error})',
            name='torchvision',
        ) from error


def _forget_parts() -> None:
    for name in [name for name in sys.modules if name.startswith('torchvision.')]:
        del sys.modules[name]


def _declare_operators() -> None:
    import torch

    if not _declared:
        library = torch.library.Library('torchvision', 'FRAGMENT')
        for declaration in _DECLARATIONS:
            library.define(declaration)
        _declared.append(library)


def _torch_version() -> str:
    import torch

    return torch.__version__


def import_timm() -> ModuleType:
    """The package timm.

    Raises:
        DependencyError: it, or the torchvision that it needs, is missing or does not import.
    """
    if importlib.util.find_spec('timm') is None:
        raise DependencyError(
            'timm is needed for openseg_plugin.TimmBackbone but not installed: '
            'pip install timm==1.0.31'
        )
    try:
        import timm
    except ModuleNotFoundError as error:
        raise DependencyError(
            f'timm needs {error.name}, which is not installed: pip install {error.name}'
        ) from error
    except (ImportError, RuntimeError) as error:
        raise DependencyError(
            f'timm does not import beside torch {_torch_version()}: {error}; install the '
            'torchvision of the same release as torch, see https://pytorch.org/get-started'
        ) from error
    return timm
