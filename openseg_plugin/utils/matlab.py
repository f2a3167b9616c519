"""Numeric arrays of MATLAB version 5 files, read without trusting any size in them.

Such files carry label maps and offsets from strangers, and scipy's reader crashes on some broken
ones. This one knows what published label data needs: numeric arrays and fields of structures,
deflated or not, of either byte order. Every size is checked against what is there.

Layout: 128 bytes of header, then elements of (type, size, content). Type 15 holds another element,
deflated; that is type 14, a matrix: flags, dimensions, name, and numbers or further elements.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from openseg_plugin.errors import DataError

MAX_BYTES = 1 << 30
"""Largest array: 16384 x 8192 offsets of two int32, or a label map of as many float64."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STRUCT = 2
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 ... uint64
_OTHER_CLASSES = {1: 'a cell array', 3: 'an object', 4: 'text', 5: 'a sparse array'}
_COMPLEX = 0x0800
_DTYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8'}
_DTYPES |= {13: 'u8'}
_START = 1 << 12  # bytes that hold the name of a deflated matrix


class MissingArrayError(DataError):
    """A ``.mat`` file lacks an array.

    Attributes:
        found: names of the arrays it has.
    """

    def __init__(self, message: str, found: Sequence[str]) -> None:
        super().__init__(message)
        self.found = tuple(found)


class _BrokenError(Exception):
    """A size or type in the file that cannot be."""


class _Element(NamedTuple):
    kind: int
    start: int
    size: int
    next: int


class _Matrix(NamedTuple):
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str
    content: int  # position of what follows the name


class _Buffer:
    """Bytes with a byte order, whose elements are checked to lie within."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data = data
        self.order = order

    def numbers(self, position: int, count: int, code: str) -> tuple[int, ...]:
        """``count`` numbers of the struct type ``code``.

        Raises:
            struct.error: they are not there.
        """
        return struct.unpack_from(f'{self.order}{count}{code}', self.data, position)

    def element(self, position: int, *, is_whole: bool = True) -> _Element:
        """The element that begins at ``position``; up to 4 bytes sit in the tag itself."""
        kind, size = self.numbers(position, 2, 'I')
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
            if size > 4:
                raise _BrokenError(f'{size} bytes in a place for 4')
            end = position + 8
        else:
            start = position + 8
            end = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if is_whole and start + size > len(self.data):
            raise _BrokenError('it is cut short')
        return _Element(kind, start, size, end)

    def matrix(self, position: int) -> _Matrix:
        """The head of the matrix whose content begins at ``position``."""
        flags = self.element(position)
        dims = self.element(flags.next)
        name = self.element(dims.next)
        if flags.kind != 6 or flags.size != 8 or dims.kind != 5 or name.kind not in (1, 2):
            raise _BrokenError('a matrix without flags, dimensions or name')
        bits = self.numbers(flags.start, 1, 'I')[0]
        shape = self.numbers(dims.start, dims.size // 4, 'i')
        if not 2 <= len(shape) <= 32 or min(shape) < 0:
            raise _BrokenError(f'the dimensions {shape}')
        text = self.data[name.start : name.start + name.size].decode('latin1')
        return _Matrix(bits & 0xFF, bool(bits & _COMPLEX), shape, text, name.next)


def read_array(data: bytes, keys: Sequence[str], name: str) -> np.ndarray:
    """The numeric array ``keys[0]`` of a ``.mat`` file; further keys go into structures.

    Args:
        data: content of the file.
        keys: name of the array, or of a structure and its field.
        name: names the file in messages.

    Returns:
        Of the type and shape in which the file stores it, column-major.

    Raises:
        MissingArrayError: the file has no such array.
        DataError: it is broken, of version 7.3, too large, or no numbers are there.
    """
    try:
        order = byte_order(data, name)
        found = []
        for buffer, position in _matrices(data, order):
            matrix = buffer.matrix(position)
            found.append(matrix.name)
            if matrix.name == keys[0]:
                whole = _whole(buffer)
                return _array(whole, position, list(keys), name)
    except (_BrokenError, struct.error, zlib.error) as error:
        raise DataError(
            f'{name} cannot be read as a .mat file ({error}): replace it by an intact copy'
        ) from error
    raise MissingArrayError(
        f'{name} has no array {keys[0]}, only {", ".join(found) or "nothing"}', found
    )


def byte_order(data: bytes, name: str) -> str:
    """'<' or '>' as the header says.

    Raises:
        DataError: it is no file of version 5.
    """
    if data[:10] == b'MATLAB 7.3' or data[512:520] == b'\x89HDF\r\n\x1a\n':
        raise DataError(
            f'{name} is a MATLAB 7.3 (HDF5) file; save it with "save -v7", which SegFix files use'
        )
    order = {b'\x00\x01IM': '<', b'\x01\x00MI': '>'}.get(data[124:_HEADER])
    if order is None:
        raise DataError(
            f'{name} cannot be read as a .mat file: it is not the expected MATLAB file of version '
            '5; replace it by an intact copy'
        )
    return order


def _matrices(data: bytes, order: str) -> Iterator[tuple[_Buffer, int]]:
    """(buffer, position) of every matrix; of a deflated one a buffer with its first bytes."""
    outer, position = _Buffer(data, order), _HEADER
    while position + 8 <= len(data):
        element = outer.element(position)
        position = element.next
        if element.kind == _MATRIX:
            yield outer, element.start
        elif element.kind == _COMPRESSED:
            packed = data[element.start : element.start + element.size]
            inflated = _Deflated(zlib.decompressobj().decompress(packed, _START), order, packed)
            if inflated.element(0, is_whole=False).kind == _MATRIX:
                yield inflated, 8


class _Deflated(_Buffer):
    """The first bytes of a deflated matrix, and all of it still packed."""

    def __init__(self, data: bytes, order: str, packed: bytes) -> None:
        super().__init__(data, order)
        self.packed = packed


def _whole(buffer: _Buffer) -> _Buffer:
    """The buffer with all of a matrix in it, its checksum compared."""
    if not isinstance(buffer, _Deflated):
        return buffer
    size = 8 + buffer.element(0, is_whole=False).size
    if size > MAX_BYTES:
        raise _BrokenError(f'it declares {size / 2**20:.0f} MiB')
    inflate = zlib.decompressobj()
    data = inflate.decompress(buffer.packed, size + 1)
    inflate.decompress(inflate.unconsumed_tail, 1)
    if len(data) < size or not inflate.eof:
        raise _BrokenError('it is cut short')
    return _Buffer(data, buffer.order)


def _array(buffer: _Buffer, position: int, keys: list[str], name: str) -> np.ndarray:
    """The numbers of a matrix, or of a field within it.

    Raises:
        DataError: there are none.
    """
    matrix = buffer.matrix(position)
    if keys[1:]:
        if matrix.kind != _STRUCT:
            raise DataError(
                f'{name} is not the expected MATLAB file: {keys[0]} is no structure with {keys[1]}'
            )
        return _array(buffer, _field(buffer, matrix, keys[1], name), keys[1:], name)
    if matrix.kind not in _NUMERIC_CLASSES:
        kind = _OTHER_CLASSES.get(matrix.kind, 'a structure')
        raise DataError(f'{name}: {keys[0]} holds {kind}, no numbers')
    if matrix.is_complex:
        raise DataError(f'{name}: {keys[0]} is of type complex; whole numbers are needed')
    element = buffer.element(matrix.content)
    if element.kind not in _DTYPES:
        raise _BrokenError(f'numbers of type {element.kind}')
    dtype = np.dtype(buffer.order + _DTYPES[element.kind])
    count = 1
    for side in matrix.shape:
        count *= side
    if count * dtype.itemsize != element.size:
        raise _BrokenError(f'{element.size} bytes for {count} numbers of {dtype}')
    flat = np.frombuffer(buffer.data, dtype, count, element.start)
    return flat.astype(dtype.newbyteorder('=')).reshape(matrix.shape, order='F')


def _field(buffer: _Buffer, matrix: _Matrix, key: str, name: str) -> int:
    """Position of the content of a field in a structure of one element.

    Raises:
        DataError: it has no such field, or more elements than one.
    """
    length = buffer.element(matrix.content)
    names = buffer.element(length.next)
    width = buffer.numbers(length.start, 1, 'i')[0]
    if width <= 0 or names.size % width:
        raise _BrokenError('names of fields')
    fields = [
        buffer.data[at : at + width].split(b'\x00')[0].decode('latin1')
        for at in range(names.start, names.start + names.size, width)
    ]
    if key not in fields or set(matrix.shape) != {1}:
        raise DataError(f'{name}: {matrix.name} has no entry {key}, only {", ".join(fields)}')
    position = names.next
    for field in fields:
        element = buffer.element(position)
        if element.kind != _MATRIX:
            raise _BrokenError('a field that is no matrix')
        if field == key:
            return element.start
        position = element.next
    raise AssertionError('the field is in the list')
