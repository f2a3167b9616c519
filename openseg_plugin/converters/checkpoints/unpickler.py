"""A pickle reader that runs no code from the file.

A pickle names the functions that rebuild its objects. Here a name is only looked up in a fixed
table of our own small functions for tensors, numpy arrays and scalars, plain Python data and
mmengine's training log; nothing is imported and nothing outside the table is ever called.
Objects that a pickle fills in after making them (``BUILD``) are inert stand-ins which are replaced
once the whole file has been read, so no foreign ``__setstate__`` sees the file's data either.
"""

import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch

_LOG_STATISTICS = ('min', 'max', 'current', 'mean')
_ARRAY_KINDS = 'biufcSUmM'
# Python 2 and numpy 1 spellings of names that the table has under today's
_MODULES = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}
_NAMES = {
    ('builtins', 'xrange'): 'range',
    ('builtins', 'unicode'): 'str',
    ('builtins', 'long'): 'int',
}


class UnsafeGlobalError(Exception):
    """A pickle asks for something outside the table; nothing was executed."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


class ObjectArrayError(Exception):
    """A pickle holds a numpy array of Python objects, which are no weights."""


class _Function:
    """A function of the table, which a pickle can call but not change."""

    __slots__ = ('_call',)

    def __init__(self, call: Callable):
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise UnsafeGlobalError('a change of a function')


class StorageType:
    """The element type of a torch storage; ``dtype`` None stands for bytes without a type."""

    __slots__ = ('dtype',)

    def __init__(self, dtype: torch.dtype | None):
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        raise UnsafeGlobalError('a change of a storage type')


class _Dtype:
    """Stand-in for ``numpy.dtype``: a plain element type and its byte order."""

    def __init__(self, code: str, *_: Any):
        if str(code).startswith('O'):
            raise ObjectArrayError
        self._dtype = np.dtype(str(code))
        if self._dtype.kind not in _ARRAY_KINDS:
            raise UnsafeGlobalError(f'numpy.dtype({code!r})')

    def __setstate__(self, state: tuple) -> None:
        _, order, subtype, names, fields, *_ = state
        if not (subtype is names is fields is None):
            raise UnsafeGlobalError('a structured numpy.dtype')
        if order in ('<', '>'):
            self._dtype = self._dtype.newbyteorder(order)

    def decode(self, data: bytes | str, shape: tuple[int, ...], order: str = 'C') -> np.ndarray:
        """Array of ``shape`` in the machine's byte order from its raw bytes."""
        if isinstance(data, str):  # Python 2 wrote bytes as text
            data = data.encode('latin1')
        array = np.frombuffer(data, self._dtype).reshape(shape, order=order)
        return array.astype(self._dtype.newbyteorder('='))


class _Array:
    """Stand-in for a numpy array, which a pickle makes empty and then fills."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if isinstance(data, list):
            raise ObjectArrayError
        self.value = dtype.decode(data, shape, 'F' if is_fortran else 'C')


class _History:
    """Stand-in for mmengine's ``HistoryBuffer`` (the log of one scalar)."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def resolve(self, seen: dict[int, Any]) -> Any:
        from mmengine.logging import HistoryBuffer

        state = {key: _resolve(value, seen) for key, value in (self.state or {}).items()}
        history = HistoryBuffer()
        for name in ('_log_history', '_count_history', 'max_length'):
            setattr(history, name, state[name])
        return history


def _tensor(
    storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: Any
) -> torch.Tensor:
    return torch.as_strided(storage, size, stride, offset)


def _tensor_v3(
    storage: torch.Tensor,
    offset: int,
    size: tuple,
    stride: tuple,
    _grad: bool,
    _hooks: Any,
    dtype: torch.dtype,
    *_: Any,
) -> torch.Tensor:
    return torch.as_strided(storage.view(dtype), size, stride, offset)


def _tensor_subclass(rebuild: _Function, _kind: Any, args: tuple, _state: Any) -> torch.Tensor:
    if not isinstance(rebuild, _Function):
        raise UnsafeGlobalError('a tensor subclass')
    return rebuild(*args)


def _log_statistic(owner: Any, name: str) -> None:
    """mmengine writes its four statistics as attributes of a class; ours come from mmengine."""
    if owner is not _History or name not in _LOG_STATISTICS:
        raise UnsafeGlobalError('builtins.getattr')


def _encode(text: str, encoding: str = 'latin1') -> bytes:
    if encoding not in ('latin1', 'latin-1'):
        raise UnsafeGlobalError('_codecs.encode')
    return text.encode('latin1')


def _empty_array(*_: Any) -> _Array:
    return _Array()


def _array_of_bytes(data: bytes, dtype: _Dtype, shape: tuple, order: str = 'C') -> np.ndarray:
    return dtype.decode(bytes(data), shape, order)


def _none_type(value: Any) -> type:
    if value is not None:
        raise UnsafeGlobalError('builtins.type')
    return type(None)


_PLAIN_TYPES = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    list,
    tuple,
    dict,
    set,
    frozenset,
    range,
    slice,
)
_MULTIARRAY = {
    '_reconstruct': _Function(_empty_array),
    'scalar': _Function(lambda dtype, data: dtype.decode(data, (1,))[0]),
}
_TABLE: dict[str, dict[str, Any]] = {
    'builtins': {
        **{kind.__name__: kind for kind in _PLAIN_TYPES},
        'getattr': _Function(_log_statistic),
        'type': _Function(_none_type),
        'Ellipsis': ...,
    },
    'collections': {'OrderedDict': OrderedDict, 'defaultdict': defaultdict},
    'pathlib': {
        kind: _Function(lambda *parts: '/'.join(parts).replace('//', '/'))
        for kind in ('Path', 'PosixPath', 'PurePath', 'PurePosixPath')
    },
    '_codecs': {'encode': _Function(_encode)},
    'numpy': {'ndarray': None, 'dtype': _Dtype},
    'numpy.core.multiarray': _MULTIARRAY,
    'numpy.core.numeric': {'_frombuffer': _Function(_array_of_bytes)},
    'torch._utils': {
        '_rebuild_tensor': _Function(_tensor),
        '_rebuild_tensor_v2': _Function(_tensor),
        '_rebuild_tensor_v3': _Function(_tensor_v3),
        '_rebuild_parameter': _Function(lambda data, grad, *_: torch.nn.Parameter(data, grad)),
        '_rebuild_parameter_with_state': _Function(
            lambda data, grad, *_: torch.nn.Parameter(data, grad)
        ),
    },
    'torch._tensor': {'_rebuild_from_type_v2': _Function(_tensor_subclass)},
    'torch.nn.parameter': {'Parameter': None},
    'torch': {
        'Tensor': None,
        'Size': _Function(lambda size=(): torch.Size(size)),
        'device': _Function(lambda *_: torch.device('cpu')),
        **{str(v)[6:]: v for v in vars(torch).values() if isinstance(v, torch.dtype)},
    },
    'mmengine.logging.history_buffer': {
        'HistoryBuffer': _History,
        **{f'HistoryBuffer.{name}': None for name in _LOG_STATISTICS},
    },
    'mmengine.config.config': {'ConfigDict': dict},
    'mmcv.utils.config': {'ConfigDict': dict},
}
_STORAGES = {
    'Double': torch.float64, 'Float': torch.float32, 'Half': torch.float16,
    'BFloat16': torch.bfloat16, 'Long': torch.int64, 'Int': torch.int32, 'Short': torch.int16,
    'Char': torch.int8, 'Byte': torch.uint8, 'Bool': torch.bool, 'ComplexFloat': torch.complex64,
    'ComplexDouble': torch.complex128, 'Untyped': None,
}  # fmt: skip


def _lookup(module: str, name: str) -> Any:
    module = _MODULES.get(module, module)
    module = module.replace('numpy._core', 'numpy.core')
    name = _NAMES.get((module, name), name)
    if module in ('torch', 'torch.cuda', 'torch.storage') and name.endswith('Storage'):
        kind = name.removesuffix('Storage')
        if kind in _STORAGES:
            return StorageType(_STORAGES[kind])
    try:
        return _TABLE[module][name]
    except KeyError:
        raise UnsafeGlobalError(f'{module}.{name}') from None


def _resolve(value: Any, seen: dict[int, Any]) -> Any:
    """``value`` with every stand-in replaced; lists and dicts are changed in place."""
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, _History):
        return seen.setdefault(id(value), value.resolve(seen))
    if isinstance(value, tuple):
        return tuple(_resolve(item, seen) for item in value)
    if isinstance(value, list | dict):
        seen[id(value)] = value  # before the items: a container may hold itself
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            value[key] = _resolve(item, seen)
    return value


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler over the table of this module.

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
