"""mmseg imports ``mmcv.ops``, which asks for compiled operators that mmcv-lite does not have.

For: mmseg 1.2 beside mmcv-lite 2.1 (mmseg 1.3 and newer, the fork, does without).
Ends when: mmseg imports without ``mmcv.ops``; a compiled mmcv is left alone at once.

``mmcv.ops`` asks through ``mmcv.utils.ext_loader.load_ext``, and only there it gets stand-ins:
importing works, calling one says how to get it. ``find_spec('mmcv._ext')`` and importing
``mmcv._ext`` keep their true answers, so whoever looks for compiled operators finds none.
"""

import importlib.util
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

from openseg_plugin.compat.import_hooks import after_import
from openseg_plugin.compat.versions import FIRST_FORK, numbers_of, version_of


class MissingOps(ModuleType):
    """Stand-in for ``mmcv._ext``: importing works, calling a compiled op says how to get it."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*arguments: Any, **options: Any) -> NoReturn:
            raise NotImplementedError(
                f'the compiled mmcv op "{name}" was called, but mmcv-lite has none; '
                'nothing in openseg_plugin needs it. Install a compiled mmcv==2.1.0 to use it.'
            )

        return missing


def install() -> None:
    """Let ``mmcv.ops`` be imported where there are no compiled operators."""
    after_import({'mmcv.utils.ext_loader': _stand_in})


def _stand_in(ext_loader: ModuleType) -> None:
    if not () < numbers_of(version_of('mmseg')) < FIRST_FORK:
        return
    load = ext_loader.load_ext

    def load_ext(name: str, functions: Sequence[str]) -> Any:
        if importlib.util.find_spec(f'mmcv.{name}') is not None:
            return load(name, functions)
        return MissingOps(f'mmcv.{name}')

    vars(ext_loader)['load_ext'] = load_ext
