"""A pickle reader that runs no code from the file.

A pickle names the functions that rebuild its objects. Here a name is only looked up in the fixed
table of :mod:`.safe_objects`; nothing is imported and nothing outside the table is ever called.

What a pickle of weights may name, as small functions and stand-ins of our own.

Tensors, numpy arrays and scalars, plain Python data, and mmengine's training log. Objects that a
pickle makes empty and fills in afterwards (``BUILD``) are stand-ins until the whole file has been
read, so no foreign ``__setstate__`` ever sees the file's data.
"""

import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch

_LOG_STATISTICS = ('min', 'max', 'current', 'mean')
_ARRAY_KINDS = 'biufcSUmM'


class UnsafeGlobalError(Exception):
    """A pickle asks for something outside the table; nothing was executed."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


class ObjectArrayError(Exception):
    """A pickle holds a numpy array of Python objects, which are no weights."""


class Function:
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


class ArrayStandIn:
    """Stand-in for a numpy array, which a pickle makes empty and then fills."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if isinstance(data, list):
            raise ObjectArrayError
        self.value = dtype.decode(data, shape, 'F' if is_fortran else 'C')


class HistoryStandIn:
    """Stand-in for mmengine's ``HistoryBuffer`` (the log of one scalar)."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def resolve(self) -> Any:
        """mmengine's object with the logged numbers and its own functions."""
        from mmengine.logging import HistoryBuffer

        history = HistoryBuffer()
        history.max_length = int(self.state['max_length'])
        for name in ('_log_history', '_count_history'):
            setattr(history, name, self.state[name].value)
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


def _tensor_subclass(rebuild: Function, _kind: Any, args: tuple, _state: Any) -> torch.Tensor:
    if not isinstance(rebuild, Function):
        raise UnsafeGlobalError('a tensor subclass')
    return rebuild(*args)


def _log_statistic(owner: Any, name: str) -> None:
    """mmengine writes its four statistics as attributes of a class; ours come from mmengine."""
    if owner is not HistoryStandIn or name not in _LOG_STATISTICS:
        raise UnsafeGlobalError('builtins.getattr')


def _encode(text: str, encoding: str = 'latin1') -> bytes:
    if encoding not in ('latin1', 'latin-1'):
        raise UnsafeGlobalError('_codecs.encode')
    return text.encode('latin1')


def _empty_array(*_: Any) -> ArrayStandIn:
    return ArrayStandIn()


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
    '_reconstruct': Function(_empty_array),
    'scalar': Function(lambda dtype, data: dtype.decode(data, (1,))[0]),
}
TABLE: dict[str, dict[str, Any]] = {
    'builtins': {
        **{kind.__name__: kind for kind in _PLAIN_TYPES},
        'getattr': Function(_log_statistic),
        'type': Function(_none_type),
        'Ellipsis': ...,
    },
    'collections': {'OrderedDict': OrderedDict, 'defaultdict': defaultdict},
    'pathlib': {
        kind: Function(lambda *parts: '/'.join(parts).replace('//', '/'))
        for kind in ('Path', 'PosixPath', 'PurePath', 'PurePosixPath')
    },
    '_codecs': {'encode': Function(_encode)},
    'numpy': {'ndarray': None, 'dtype': _Dtype},
    'numpy.core.multiarray': _MULTIARRAY,
    'numpy.core.numeric': {'_frombuffer': Function(_array_of_bytes)},
    'torch._utils': {
        '_rebuild_tensor': Function(_tensor),
        '_rebuild_tensor_v2': Function(_tensor),
        '_rebuild_tensor_v3': Function(_tensor_v3),
        '_rebuild_parameter': Function(lambda data, grad, *_: torch.nn.Parameter(data, grad)),
        '_rebuild_parameter_with_state': Function(
            lambda data, grad, *_: torch.nn.Parameter(data, grad)
        ),
    },
    'torch._tensor': {'_rebuild_from_type_v2': Function(_tensor_subclass)},
    'torch.nn.parameter': {'Parameter': None},
    'torch': {
        'Tensor': None,
        'Size': Function(lambda size=(): torch.Size(size)),
        'device': Function(lambda *_: torch.device('cpu')),
        **{str(v)[6:]: v for v in vars(torch).values() if isinstance(v, torch.dtype)},
    },
    'mmengine.logging.history_buffer': {
        'HistoryBuffer': HistoryStandIn,
        **{f'HistoryBuffer.{name}': None for name in _LOG_STATISTICS},
    },
    'mmengine.config.config': {'ConfigDict': dict},
    'mmcv.utils.config': {'ConfigDict': dict},
}
STORAGES = {
    'Double': torch.float64, 'Float': torch.float32, 'Half': torch.float16,
    'BFloat16': torch.bfloat16, 'Long': torch.int64, 'Int': torch.int32, 'Short': torch.int16,
    'Char': torch.int8, 'Byte': torch.uint8, 'Bool': torch.bool, 'ComplexFloat': torch.complex64,
    'ComplexDouble': torch.complex128, 'Untyped': None,
}  # fmt: skip


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
