"""Runs something right after a module was imported, whoever imports it and whenever.

So a module of others can be fixed without importing it first, which would cost seconds.
"""

import importlib.abc
import sys
from collections.abc import Callable
from types import ModuleType


def after_import(actions: dict[str, Callable[[ModuleType], None]]) -> None:
    """Call ``actions[name](module)`` once: now if ``name`` is imported already, else right after.

    The action runs before the importing statement gets the module, so nobody sees it unfixed.
    """
    waiting = dict(actions)
    for name in actions:
        if name in sys.modules:
            waiting.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, _AfterImport(waiting))


class _AfterImport(importlib.abc.MetaPathFinder):
    """First finder in line: lets the others find the module and wraps its execution."""

    def __init__(self, actions: dict[str, Callable[[ModuleType], None]]) -> None:
        self._actions = actions

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in self._actions:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, 'find_spec'):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._act_after(spec.loader, fullname)
                return spec
        return None

    def _act_after(self, loader: importlib.abc.Loader, fullname: str) -> None:
        execute = loader.exec_module

        def execute_and_act(module: ModuleType) -> None:
            execute(module)
            action = self._actions.pop(fullname, None)
            if action is not None:
                action(module)

        loader.exec_module = execute_and_act
