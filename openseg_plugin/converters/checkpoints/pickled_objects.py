"""What a pickle of weights may name: a fixed table of small functions, constants and stand-ins.

Tensors of every kind that torch's own weights-only mode reads, numpy arrays and scalars, plain
Python data, and mmengine's training state. Nothing is looked up outside the table. Objects that a
pickle makes empty and fills in afterwards (``BUILD``) are stand-ins until the whole file has been
read, so no foreign ``__setstate__`` ever sees the file's data.
"""

import argparse
import datetime
import importlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_LOG_STATISTICS = ('min', 'max', 'current', 'mean')
_ARRAY_KINDS = 'biufcSUmM'
_SCHEDULERS = 'mmengine.optim.scheduler.param_scheduler'
_ONE_CYCLE = 'OneCycleParamScheduler'
_PLAIN_KEYS = (
    *(str, bytes, int, float, complex, type(None), np.generic, torch.dtype, torch.device),
    *(frozenset, torch.Tensor, datetime.date, datetime.time, datetime.timedelta),
)
_KEY_PARTS = 64  # values in one tuple that serves as a key
_ANNEALING = ('_annealing_cos', '_annealing_linear')


class UnsafeGlobalError(Exception):
    """A pickle asks for something outside the table; nothing was executed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class ObjectArrayError(Exception):
    """A pickle holds a numpy array of Python objects, which are no weights."""


def require_key(key: Any) -> None:
    """Check that the hash of a key takes no longer than its own few bytes.

    Raises:
        UnsafeGlobalError: it is no plain value or tuple of a few.
    """
    waiting, seen = [key], 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > _KEY_PARTS:
            raise UnsafeGlobalError('a key of very many parts')
        if type(value) is tuple or isinstance(value, torch.Size):
            waiting.extend(value[: _KEY_PARTS + 1])
        elif not isinstance(value, _PLAIN_KEYS):
            raise UnsafeGlobalError(f'a key of type {type(value).__name__}')


class Function:
    """A function of the table, which a pickle can call but not change.

    Args:
        call: what is called.
        kind: the class that the name stands for where the file refers to it without calling it.
    """

    __slots__ = ('call', 'kind')

    def __init__(self, call: Callable[..., Any], kind: type | None = None) -> None:
        self.call = call
        self.kind = kind


class StandIn:
    """An object that is replaced by ``resolve`` when everything has been read.

    Those that a pickle makes empty and changes afterwards take its state in ``fill``.
    """

    def fill(self, state: Any) -> None:
        """Takes the state of the pickle.

        Raises:
            UnsafeGlobalError: there is nothing to change.
        """
        raise UnsafeGlobalError(f'a change of a {type(self).__name__}')

    def resolve(self) -> Any:
        """The object itself."""
        raise NotImplementedError


class StorageType:
    """The element type of a torch storage; ``dtype`` None stands for bytes without a type."""

    __slots__ = ('dtype',)

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype


class QuantizedStorage:
    """Elements of a quantized type: ``raw`` 1-D uint8 bytes, ``dtype`` their type."""

    __slots__ = ('dtype', 'raw')

    def __init__(self, raw: torch.Tensor, dtype: torch.dtype) -> None:
        self.raw = raw
        self.dtype = dtype


class DtypeStandIn(StandIn):
    """Stand-in for ``numpy.dtype``: a plain element type and its byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        if str(code).startswith('O'):
            raise ObjectArrayError
        self._dtype = np.dtype(str(code))
        if self._dtype.kind not in _ARRAY_KINDS:
            raise UnsafeGlobalError(f'numpy.dtype({code!r})')

    def fill(self, state: tuple[Any, ...]) -> None:
        _, order, subtype, names, fields, *rest = state
        if not (subtype is names is fields is None):
            raise UnsafeGlobalError('a structured numpy.dtype')
        if self._dtype.kind in 'mM':  # the last entry: what else there is, unit and its multiple
            unit, multiple, *_ = rest[-1][1]
            unit = unit if isinstance(unit, str) else unit.decode()
            self._dtype = np.dtype(f'{self._dtype.kind}8[{int(multiple)}{unit}]')
        if order in ('<', '>'):
            self._dtype = self._dtype.newbyteorder(order)

    def resolve(self) -> np.dtype:
        return self._dtype

    def decode(self, data: bytes | str, shape: tuple[int, ...], order: str = 'C') -> np.ndarray:
        """Array of ``shape`` in the machine's byte order from its raw bytes."""
        if isinstance(data, str):  # Python 2 wrote bytes as text
            data = data.encode('latin1')
        array = np.frombuffer(data, self._dtype).reshape(shape, order='F' if order == 'F' else 'C')
        return array.astype(self._dtype.newbyteorder('='))


class ArrayStandIn(StandIn):
    """Stand-in for a numpy array."""

    value: np.ndarray | None = None

    def fill(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, data = state
        if isinstance(data, list):
            raise ObjectArrayError
        self.value = _dtype_of(dtype).decode(data, shape, 'F' if is_fortran else 'C')

    def resolve(self) -> np.ndarray | None:
        return self.value


class HistoryStandIn(StandIn):
    """Stand-in for mmengine's ``HistoryBuffer`` (the log of one scalar)."""

    state: dict[str, Any] | None = None

    def fill(self, state: dict[str, Any]) -> None:
        self.state = state

    def resolve(self) -> Any:
        """mmengine's object with the logged numbers and its own functions."""
        from mmengine.logging import HistoryBuffer

        assert self.state is not None
        history = HistoryBuffer()
        history.max_length = int(self.state['max_length'])
        for name in ('_log_history', '_count_history'):
            setattr(history, name, self.state[name])
        return history


class NamespaceStandIn(StandIn):
    """Stand-in for ``argparse.Namespace``: named values."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def fill(self, state: dict[str, Any]) -> None:
        if not all(isinstance(name, str) for name in state):
            raise UnsafeGlobalError('an argparse.Namespace with other than names')
        self.state = state

    def resolve(self) -> argparse.Namespace:
        namespace = argparse.Namespace()
        vars(namespace).update(self.state)
        return namespace


class AnnealingStandIn(StandIn):
    """Stand-in for the annealing function that mmengine's one-cycle schedulers keep."""

    def __init__(self, name: str) -> None:
        self.name = name

    def resolve(self) -> Callable[..., float]:
        """mmengine's own function."""
        owner = getattr(importlib.import_module(_SCHEDULERS), _ONE_CYCLE)
        return getattr(owner, self.name)


class SparseStandIn(StandIn):
    """Stand-in for a sparse tensor, whose indices are checked once they have been read."""

    def __init__(self, layout: torch.layout, data: tuple[Any, ...]) -> None:
        self._layout, self._data = layout, data

    def resolve(self) -> torch.Tensor:
        if self._layout is torch.sparse_coo:
            indices, values, size, *rest = self._data
            is_coalesced = bool(rest[0]) if rest else None
            return torch.sparse_coo_tensor(
                indices, values, size, check_invariants=True, is_coalesced=is_coalesced
            )
        compressed, plain, values, size = self._data
        return torch.sparse_compressed_tensor(
            compressed, plain, values, size, layout=self._layout, check_invariants=True
        )


class _OneCycleClass:
    """What the name of mmengine's one-cycle scheduler stands for; only to be asked for a name."""


def _dtype_of(value: Any) -> DtypeStandIn:
    if not isinstance(value, DtypeStandIn):
        raise UnsafeGlobalError(f'an element type {type(value).__name__}')
    return value


def _getattr(owner: Any, name: str) -> Any:
    """The two attributes that mmengine's state refers to in old pickle protocols."""
    if isinstance(owner, Function) and owner.kind is HistoryStandIn and name in _LOG_STATISTICS:
        return None
    if owner is _OneCycleClass and name in _ANNEALING:
        return AnnealingStandIn(name)
    raise UnsafeGlobalError('builtins.getattr')


def _encode(text: str, encoding: str = 'latin1') -> bytes:
    if encoding not in ('latin1', 'latin-1'):
        raise UnsafeGlobalError('_codecs.encode')
    return text.encode('latin1')


def _none_type(value: Any) -> type:
    if value is not None:
        raise UnsafeGlobalError('builtins.type')
    return type(None)


def _only(kind: type, *accepted: type) -> Function:
    """``kind`` called without arguments or with one of the ``accepted`` types.

    So nothing that is small in the file makes something large: no ``bytearray(3000000000)``, no
    ``set(range(2**31))``, no text of nested data.
    """

    def make(*arguments: Any) -> Any:
        if len(arguments) > 1 or not all(type(value) in accepted for value in arguments):
            raise UnsafeGlobalError(f'builtins.{kind.__name__} of something unusual')
        if arguments and kind in (set, frozenset, dict):
            for item in arguments[0]:
                is_pair = kind is dict and isinstance(arguments[0], list)
                require_key(item[0] if is_pair else item)
        return kind(*arguments)

    return Function(make, kind)


def _bytes(kind: type) -> Function:
    def make(value: Any = b'', encoding: str = 'latin1') -> Any:
        if isinstance(value, str):
            return kind(_encode(value, encoding))
        if type(value) not in (bytes, bytearray, list):
            raise UnsafeGlobalError(f'builtins.{kind.__name__} of something unusual')
        return kind(value)

    return Function(make, kind)


def _from_numbers(kind: type) -> Function:
    """``kind`` of whole numbers or None."""

    def make(*arguments: Any) -> Any:
        if not all(value is None or type(value) is int for value in arguments):
            raise UnsafeGlobalError(f'{kind.__module__}.{kind.__name__} of something unusual')
        return kind(*arguments)

    return Function(make, kind)


def _complex(real: float, imaginary: float = 0.0) -> complex:
    return complex(float(real), float(imaginary))


def _counter(counts: Any = ()) -> Counter[Any]:
    if not isinstance(counts, dict | tuple) or (isinstance(counts, tuple) and counts):
        raise UnsafeGlobalError('collections.Counter of something unusual')
    return Counter(dict(counts))


def _default_dict(factory: Any = None, items: Any = ()) -> defaultdict[Any, Any]:
    if factory is not None and getattr(factory, 'kind', None) not in (list, dict, int, float, set):
        raise UnsafeGlobalError('a collections.defaultdict with a function')
    return defaultdict(factory and factory.kind, items)


def _deque(items: Any = (), length: int | None = None) -> deque[Any]:
    if type(items) not in (list, tuple):
        raise UnsafeGlobalError('collections.deque of something unusual')
    return deque(items, length)


_MOMENTS = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone)


def _moment(kind: type) -> Function:
    def make(*arguments: Any) -> Any:
        if not all(isinstance(value, (str, bytes, int, *_MOMENTS)) for value in arguments):
            raise UnsafeGlobalError(f'datetime.{kind.__name__} of something unusual')
        return kind(*arguments)

    return Function(make, kind)


def _tensor(
    storage: torch.Tensor,
    offset: int,
    size: tuple,
    stride: tuple,
    _grad: bool = False,
    _hooks: Any = None,
    bits: dict[str, Any] | None = None,
) -> torch.Tensor:
    return _with_bits(torch.as_strided(storage, size, stride, offset), bits)


def _with_bits(elements: torch.Tensor, bits: dict[str, Any] | None) -> torch.Tensor:
    """The tensor whose elements the file holds before they are conjugated or negated."""
    for name in bits or ():
        if name not in ('conj', 'neg'):
            raise UnsafeGlobalError(f'a tensor with {name!r}')
    if bits and bits.get('conj'):
        elements = elements.conj()
    if bits and bits.get('neg'):
        elements = torch._neg_view(elements)
    return elements


def _tensor_v3(
    storage: torch.Tensor,
    offset: int,
    size: tuple,
    stride: tuple,
    _grad: bool,
    _hooks: Any,
    dtype: torch.dtype,
    bits: dict[str, Any] | None = None,
) -> torch.Tensor:
    return _with_bits(torch.as_strided(storage.view(dtype), size, stride, offset), bits)


def _tensor_subclass(rebuild: Function, _kind: Any, args: tuple, _state: Any) -> torch.Tensor:
    if not isinstance(rebuild, Function) or rebuild.call is _tensor_subclass:
        raise UnsafeGlobalError('a tensor subclass')
    return rebuild.call(*args)


def _parameter(data: Any = None, requires_grad: bool = True, *_: Any) -> torch.nn.Parameter:
    if not isinstance(data, torch.Tensor):
        raise UnsafeGlobalError('a parameter without data')
    return torch.nn.Parameter(data, bool(requires_grad) and data.is_floating_point())


def _meta_tensor(dtype: torch.dtype, size: tuple, stride: tuple, *_: Any) -> torch.Tensor:
    return torch.empty_strided(size, stride, dtype=dtype, device='meta')


def _quantized_tensor(
    storage: QuantizedStorage, offset: int, size: tuple, stride: tuple, quantizer: tuple, *_: Any
) -> torch.Tensor:
    """As torch's, which makes an empty tensor of ``size`` first: so only what the storage holds."""
    if not isinstance(storage, QuantizedStorage):
        raise UnsafeGlobalError('a quantized tensor of other elements')
    count = storage.raw.numel() // torch.empty((), dtype=_RAW_OF[storage.dtype]).element_size()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((*size, *stride, offset), default=0) < 0 or last >= count or np.prod(size) > count:
        raise ValueError('a quantized tensor is larger than its storage')
    typed = torch.storage.TypedStorage(
        wrap_storage=storage.raw.untyped_storage(), dtype=storage.dtype, _internal=True
    )
    return torch._utils._rebuild_qtensor(typed, offset, size, stride, quantizer, False, {})


def _nested_tensor(buffer: torch.Tensor, *parts: torch.Tensor) -> torch.Tensor:
    sizes, strides, offsets = parts
    if sizes.numel() and sizes.shape == strides.shape:
        last = offsets + ((sizes - 1) * strides).sum(1)
        is_inside = bool((sizes >= 0).all() and (strides >= 0).all() and (offsets >= 0).all())
        if is_inside and int(last.max()) < buffer.numel():
            return torch._nested_view_from_buffer(buffer, sizes, strides, offsets)
    raise ValueError('a nested tensor is larger than its buffer')


def _tensor_of_array(array: Any, dtype: torch.dtype, *_: Any) -> torch.Tensor:
    value = array.value if isinstance(array, ArrayStandIn) else array
    return torch.as_tensor(value).to(dtype)


def _layout(name: str) -> torch.layout:
    layouts = {str(v): v for v in vars(torch).values() if isinstance(v, torch.layout)}
    return layouts[name]


_ITEMS = (list, tuple, set, frozenset, dict)
_NUMBER = (bool, int, float, str)
_PLAIN: dict[str, Function] = {
    'bool': _only(bool, *_NUMBER),
    'int': _only(int, *_NUMBER),
    'float': _only(float, *_NUMBER),
    'complex': Function(
        lambda real, imaginary=0.0: complex(float(real), float(imaginary)), complex
    ),
    'str': _only(str, str),
    'bytes': _bytes(bytes),
    'bytearray': _bytes(bytearray),
    'list': _only(list, *_ITEMS),
    'tuple': _only(tuple, *_ITEMS),
    'dict': _only(dict, dict, list, OrderedDict),
    'set': _only(set, *_ITEMS),
    'frozenset': _only(frozenset, *_ITEMS),
    'range': _from_numbers(range),
    'slice': _from_numbers(slice),
}
_MULTIARRAY = {
    '_reconstruct': Function(lambda *_: ArrayStandIn()),
    'scalar': Function(lambda dtype, data: _dtype_of(dtype).decode(data, (1,))[0]),
}
_ARRAY_OF_BYTES = Function(
    lambda data, dtype, shape, order='C': _dtype_of(dtype).decode(bytes(data), shape, order)
)
_CONFIG_DICT = Function(_PLAIN['dict'].call, dict)
TABLE: dict[str, dict[str, Any]] = {
    'builtins': {
        **_PLAIN,
        'getattr': Function(_getattr),
        'type': Function(_none_type),
        'Ellipsis': ...,
    },
    'collections': {
        'OrderedDict': Function(
            lambda items=(): OrderedDict(_PLAIN['dict'].call(items) if items else ()), OrderedDict
        ),
        'Counter': Function(_counter, Counter),
        'defaultdict': Function(_default_dict, defaultdict),
        'deque': Function(_deque, deque),
    },
    'argparse': {'Namespace': Function(NamespaceStandIn, argparse.Namespace)},
    'datetime': {kind.__name__: _moment(kind) for kind in _MOMENTS},
    'pathlib': {
        kind: Function(lambda *parts: '/'.join(parts).replace('//', '/'))
        for kind in ('Path', 'PosixPath', 'PurePath', 'PurePosixPath', 'WindowsPath')
    },
    '_codecs': {'encode': Function(_encode)},
    'numpy': {'ndarray': None, 'dtype': Function(DtypeStandIn, np.dtype)},
    'numpy.core.multiarray': _MULTIARRAY,
    'numpy.core.numeric': {'_frombuffer': _ARRAY_OF_BYTES},
    'torch._utils': {
        '_rebuild_tensor': Function(_tensor),
        '_rebuild_tensor_v2': Function(_tensor),
        '_rebuild_tensor_v3': Function(_tensor_v3),
        '_rebuild_parameter': Function(_parameter),
        '_rebuild_parameter_with_state': Function(_parameter),
        '_rebuild_sparse_tensor': Function(SparseStandIn),
        '_rebuild_meta_tensor_no_storage': Function(_meta_tensor),
        '_rebuild_qtensor': Function(_quantized_tensor),
        '_rebuild_nested_tensor': Function(_nested_tensor),
        '_rebuild_device_tensor_from_numpy': Function(_tensor_of_array),
        '_rebuild_device_tensor_from_cpu_tensor': Function(_tensor_of_array),
    },
    'torch._tensor': {'_rebuild_from_type_v2': Function(_tensor_subclass)},
    'torch.nn.parameter': {'Parameter': Function(_parameter, torch.nn.Parameter)},
    'torch.serialization': {'_get_layout': Function(_layout)},
    'torch': {
        'Tensor': None,
        'Size': Function(lambda size=(): torch.Size(size), torch.Size),
        'device': Function(lambda *parts: torch.device(*parts), torch.device),
        **{
            str(value)[6:]: value
            for value in vars(torch).values()
            if isinstance(value, torch.dtype | torch.qscheme)
        },
    },
    'mmengine.logging.history_buffer': {
        'HistoryBuffer': Function(HistoryStandIn, HistoryStandIn),
        **{f'HistoryBuffer.{name}': None for name in _LOG_STATISTICS},
    },
    _SCHEDULERS: {
        _ONE_CYCLE: _OneCycleClass,
        **{f'{_ONE_CYCLE}.{name}': AnnealingStandIn(name) for name in _ANNEALING},
    },
    'mmengine.config.config': {'ConfigDict': _CONFIG_DICT},
    'mmcv.utils.config': {'ConfigDict': _CONFIG_DICT},
}
STORAGES = {
    'Double': torch.float64, 'Float': torch.float32, 'Half': torch.float16,
    'BFloat16': torch.bfloat16, 'Long': torch.int64, 'Int': torch.int32, 'Short': torch.int16,
    'Char': torch.int8, 'Byte': torch.uint8, 'Bool': torch.bool, 'ComplexFloat': torch.complex64,
    'ComplexDouble': torch.complex128, 'Untyped': None, 'QUInt8': torch.quint8,
    'QInt8': torch.qint8, 'QInt32': torch.qint32, 'QUInt4x2': torch.quint4x2,
    'QUInt2x4': torch.quint2x4,
}  # fmt: skip
# quantized element type -> a plain type of its size
_RAW_OF = {
    torch.quint8: torch.uint8, torch.qint8: torch.int8, torch.qint32: torch.int32,
    torch.quint4x2: torch.uint8, torch.quint2x4: torch.uint8,
}  # fmt: skip

# Python 2 and numpy 1 spellings of names that the table has under today's
_MODULES = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}
_NAMES = {
    ('builtins', 'xrange'): 'range',
    ('builtins', 'unicode'): 'str',
    ('builtins', 'long'): 'int',
}


def is_quantized(dtype: torch.dtype | None) -> bool:
    """Whether elements of this type are small numbers with a scale beside them."""
    return dtype in _RAW_OF


def itemsize(dtype: torch.dtype | None) -> int:
    """Bytes of an element; of bytes without a type, 1."""
    if dtype is None:
        return 1
    return torch.empty((), dtype=_RAW_OF.get(dtype, dtype)).element_size()


def lookup(module: str, name: str) -> Any:
    """What a global of a pickle stands for.

    Raises:
        UnsafeGlobalError: it is not in the table.
    """
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
