"""A pickle reader that runs no code from the file.

A pickle names the functions that rebuild its objects. Here a name is only looked up in the fixed
table of :mod:`.safe_objects`; nothing is imported and nothing outside the table is ever called.
"""

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import torch

from openseg_plugin.converters.checkpoints.safe_objects import (
    STORAGES,
    TABLE,
    ArrayStandIn,
    HistoryStandIn,
    StorageType,
    UnsafeGlobalError,
)

# Python 2 and numpy 1 spellings of names that the table has under today's
_MODULES = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}
_NAMES = {
    ('builtins', 'xrange'): 'range',
    ('builtins', 'unicode'): 'str',
    ('builtins', 'long'): 'int',
}


def _lookup(module: str, name: str) -> Any:
    module = _MODULES.get(module, module)
    module = module.replace('numpy._core', 'numpy.core')
    name = _NAMES.get((module, name), name)
    if module in ('torch', 'torch.cuda', 'torch.storage') and name.endswith('Storage'):
        kind = name.removesuffix('Storage')
        if kind in STORAGES:
            return StorageType(STORAGES[kind])
    try:
        return TABLE[module][name]
    except KeyError:
        raise UnsafeGlobalError(f'{module}.{name}') from None


def _resolve(value: Any, seen: dict[int, Any]) -> Any:
    """``value`` with every stand-in replaced; lists and dicts are changed in place."""
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, ArrayStandIn):
        return value.value
    if isinstance(value, HistoryStandIn):
        return seen.setdefault(id(value), value.resolve())
    if type(value) is tuple:  # subclasses, such as torch.Size, hold no stand-ins
        return tuple(_resolve(item, seen) for item in value)
    if isinstance(value, list | dict):
        seen[id(value)] = value  # before the items: a container may hold itself
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            value[key] = _resolve(item, seen)
    return value


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler over the table of :mod:`.safe_objects`.

    Args:
        file: stream of one pickle.
        load_storage: called with the parts of a persistent id, returns the 1-D storage tensor.
    """

    def __init__(self, file: BinaryIO, *, load_storage: Callable | None = None):
        super().__init__(file, encoding='latin1')
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        return _lookup(module, name)

    def persistent_load(self, saved_id: Any) -> torch.Tensor:
        if self._load_storage is None:
            raise pickle.UnpicklingError('a plain pickle refers to data outside of it')
        return self._load_storage(saved_id)

    def load(self) -> Any:
        """The object, free of stand-ins.

        Raises:
            UnsafeGlobalError: when the pickle names something outside the table.
            ObjectArrayError: when it holds an array of Python objects.
        """
        return _resolve(super().load(), {})
