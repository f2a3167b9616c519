"""Ways to change modules of others, whoever imports them and whenever.

A function runs around or right after an import, so a module can be fixed without importing it
first, which would cost seconds; another is put in the place of one that was imported before us.
"""

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Execute = Callable[[ModuleType], None]


def after_import(actions: dict[str, Callable[[ModuleType], None]]) -> None:
    """Call ``actions[name](module)`` once: now if ``name`` is imported already, else right after.

    The action runs before the importing statement gets the module, so nobody sees it unfixed.
    """
    waiting = dict(actions)
    for name in actions:
        if name in sys.modules:
            waiting.pop(name)(sys.modules[name])
    around_import({name: partial(_then, action) for name, action in waiting.items()})


def _then(action: Callable[[ModuleType], None], execute: Execute, module: ModuleType) -> None:
    execute(module)
    action(module)


def around_import(wrappers: dict[str, Callable[[Execute, ModuleType], None]]) -> None:
    """Call ``wrappers[name](execute, module)`` once instead of ``execute(module)``.

    ``execute`` runs the code of the module, as the import would have done; modules that are
    imported already are left alone.
    """
    sys.meta_path.insert(0, _AroundImport(wrappers))


class _AroundImport(importlib.abc.MetaPathFinder):
    """First finder in line: lets the others find the module and wraps its execution."""

    def __init__(self, wrappers: dict[str, Callable[[Execute, ModuleType], None]]) -> None:
        self._wrappers = dict(wrappers)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in self._wrappers:
            return None
        # those behind this one: another of its kind may wait for the same module
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            if not hasattr(finder, 'find_spec'):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._wrap(spec.loader, fullname)
                return spec
        return None

    def _wrap(self, loader: importlib.abc.Loader, fullname: str) -> None:
        execute = loader.exec_module

        def execute_wrapped(module: ModuleType) -> None:
            wrapper = self._wrappers.get(fullname)
            if wrapper is None:
                execute(module)
            else:
                wrapper(execute, module)
                self._wrappers.pop(fullname, None)  # only now: a failed import is tried again

        # a loader is made for one import, so changing this one changes no other
        loader.exec_module = execute_wrapped  # type: ignore[method-assign]


def replace_everywhere(old: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Put ``new`` in the place of ``old`` in every module that has it under its name."""
    name = getattr(old, '__name__', '')
    for module in list(sys.modules.values()):
        if getattr(module, '__dict__', {}).get(name) is old:
            setattr(module, name, new)
