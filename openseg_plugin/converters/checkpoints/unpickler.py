"""A pickle reader that runs no code from the file and needs no more than the file justifies.

A pickle names the functions that rebuild its objects. Here a name is only looked up in the fixed
table of :mod:`.pickled_objects`; nothing is imported and nothing outside the table is ever called.
Memory and time are bounded by the size of the file: a pickle can repeat a value without limit
(``(a, a)``, of that a pair, and so on), so what calls are given and what tensors span is counted,
values are visited once, and keys, whose hash visits everything in them, are plain.

The interpreter of the opcodes is Python's own, the one written in Python: its opcodes can be
replaced one by one, which those of the one in C cannot.
"""

import os
import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import torch

from openseg_plugin.converters.checkpoints.pickled_objects import (
    Function,
    StandIn,
    UnsafeGlobalError,
    lookup,
    require_key,
)

_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_DICTS = (dict, OrderedDict, Counter, defaultdict)
_CALL_COST = 64  # bytes of an object
_PER_BYTE = 32  # an object of Python takes so much more than its bytes in a pickle
_VIEWS = 64  # how often each byte of the file may be part of a tensor
_LARGE_READ = 1 << 16


class OversizedError(Exception):
    """A pickle that makes far more of itself than its size; it was given up."""


class Budget:
    """What reading a file of ``size`` bytes may take."""

    def __init__(self, size: int) -> None:
        self._objects = (size + (1 << 16)) * _PER_BYTE
        self._elements = (size + (1 << 16)) * _VIEWS

    def charge_call(self, arguments: tuple[Any, ...]) -> None:
        """Counts a call.

        Raises:
            OversizedError: that was one too many.
        """
        lengths = sum(len(value) for value in arguments if isinstance(value, _SIZED))
        self._objects -= _CALL_COST + lengths
        if self._objects < 0:
            raise OversizedError

    def charge_result(self, value: Any) -> None:
        """Counts the elements of a tensor, which may be views of the same few bytes.

        Raises:
            OversizedError: they are too many.
        """
        if isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta:
            count = 0 if value.is_nested else value.numel() * value.element_size()
            self._elements -= count
            if self._elements < 0:
                raise OversizedError


def _expanded(value: Any, known: dict[int, int], limit: int) -> int:
    """How many values a walk through ``value`` meets that does not know what it has seen.

    Raises:
        OversizedError: more than ``limit``.
    """
    if not isinstance(value, list | tuple | dict | set | frozenset | deque):
        return 1
    if id(value) not in known:
        known[id(value)] = 1  # a container that holds itself is not gone through again
        items = value.values() if isinstance(value, dict) else value
        count = 1 + sum(_expanded(item, known, limit) for item in items)
        if count > limit:
            raise OversizedError
        known[id(value)] = count
    return known[id(value)]


def finished(value: Any, size: int) -> Any:
    """``value`` without stand-ins, from a file of ``size`` bytes.

    Raises:
        OversizedError: whoever goes through it would never come to an end.
    """
    result = resolved(value, {})
    _expanded(result, {}, (size + (1 << 16)) * _PER_BYTE)
    return result


class WholeReads:
    """A stream whose reads are complete or an error, and allocate only what is there.

    Args:
        file: a stream that can tell its position.
        size: where it ends.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        """``count`` bytes.

        Raises:
            EOFError: fewer are left.
        """
        if count > _LARGE_READ and count > self._size - self._file.tell():
            raise EOFError('it ends too early')
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError('it ends too early')
        return data


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file or of a stream in memory."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(position)
    return size


def resolved(value: Any, seen: dict[int, Any]) -> Any:
    """``value`` with every stand-in replaced, each value visited once.

    Lists, deques and dicts are changed in place.
    """
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, Function):
        return value if value.kind is None else value.kind
    if isinstance(value, StandIn):
        if state := getattr(value, 'state', None):
            resolved(state, seen)
        return seen.setdefault(id(value), value.resolve())
    if type(value) is tuple:  # subclasses, such as torch.Size, hold no stand-ins
        result = tuple(resolved(item, seen) for item in value)
        return seen.setdefault(id(value), result)
    if isinstance(value, list | dict | deque):
        seen[id(value)] = value  # before the items: a container may hold itself
        items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        for key, item in items:
            value[key] = resolved(item, seen)
    return value


class RestrictedUnpickler(pickle._Unpickler):
    """Unpickler over the table of :mod:`.pickled_objects`.

    Args:
        file: stream of one pickle.
        load_storage: called with the parts of a persistent id, returns the 1-D storage tensor.
        budget: what is left of it; None: as much as the stream itself justifies.
    """

    dispatch = dict(pickle._Unpickler.dispatch)
    # what the interpreter sets up for each pickle
    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(
        self,
        file: BinaryIO,
        *,
        load_storage: Callable[[Any], Any] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._size = size = size_of(file)
        super().__init__(WholeReads(file, size), encoding='latin1')  # type: ignore[arg-type]  # no readinto: nothing here fills a buffer that is there
        self._load_storage = load_storage
        self._budget = budget or Budget(size)

    def load(self) -> Any:
        """The object, free of stand-ins.

        Raises:
            UnsafeGlobalError: when the pickle names something outside the table.
            ObjectArrayError: when it holds an array of Python objects.
            OversizedError: when it makes far more of itself than its size.
        """
        return finished(self.load_unresolved(), self._size)

    def load_unresolved(self) -> Any:
        """As :meth:`load`, with stand-ins, where the elements of tensors come after the object."""
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        return lookup(module, name)

    def persistent_load(self, saved_id: Any) -> Any:
        if self._load_storage is None:
            raise pickle.UnpicklingError('a plain pickle refers to data outside of it')
        return self._load_storage(saved_id)

    def get_extension(self, code: int) -> None:
        raise UnsafeGlobalError(f'copyreg extension {code}')

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Function) or type(arguments) is not tuple:
            raise UnsafeGlobalError(f'a call of {type(function).__name__}')
        self._budget.charge_call(arguments)
        result = function.call(*arguments)
        self._budget.charge_result(result)
        return result

    def _instantiate(self, klass: Any, arguments: Iterable[Any]) -> None:
        self.append(self._call(klass, tuple(arguments)))

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    load_newobj = load_reduce

    def load_newobj_ex(self) -> None:
        if self.stack.pop():
            raise UnsafeGlobalError('a call with names of arguments')
        self.load_reduce()

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        self._budget.charge_call((state,))
        if isinstance(target, StandIn):
            target.fill(state)
        elif type(target) is OrderedDict and type(state) is dict:  # torch's _metadata
            vars(target).update(state)
        elif type(target) is dict and type(state) is dict:  # mmengine's ConfigDict
            target.update(state)
        elif state:
            raise UnsafeGlobalError(f'a change of a {type(target).__name__}')

    def load_append(self) -> None:
        value = self.stack.pop()
        self._extend([value])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list | deque):
            raise UnsafeGlobalError(f'a change of a {type(target).__name__}')
        target.extend(values)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_setitems(self) -> None:
        self._set_items(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in _DICTS:
            raise UnsafeGlobalError(f'a change of a {type(target).__name__}')
        for key, value in zip(items[::2], items[1::2], strict=True):
            require_key(key)
            target[key] = value

    def load_additems(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not set:
            raise UnsafeGlobalError(f'a change of a {type(target).__name__}')
        for item in items:
            require_key(item)
            target.add(item)

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        for item in items:
            require_key(item)
        self.append(frozenset(items))

    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), 'little'))))


RestrictedUnpickler.dispatch |= {
    opcode[0]: getattr(RestrictedUnpickler, f'load_{name}')
    for name, opcode in {
        'reduce': pickle.REDUCE,
        'newobj': pickle.NEWOBJ,
        'newobj_ex': pickle.NEWOBJ_EX,
        'build': pickle.BUILD,
        'append': pickle.APPEND,
        'appends': pickle.APPENDS,
        'setitem': pickle.SETITEM,
        'setitems': pickle.SETITEMS,
        'dict': pickle.DICT,
        'additems': pickle.ADDITEMS,
        'frozenset': pickle.FROZENSET,
        'bytearray8': pickle.BYTEARRAY8,
    }.items()
}
