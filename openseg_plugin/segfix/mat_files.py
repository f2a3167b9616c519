"""The published MATLAB files: offsets (``mat``) and training targets (``depth``, ``dir_deg``).

scipy writes them, :mod:`openseg_plugin.utils.matlab` reads them; for the plain case - one
compressed numeric array after the other, as openseg.pytorch and scipy write them - offsets are
inflated piece by piece into int8 instead, so that 16 MB of int32 never pass through memory.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.utils.matlab import MissingArrayError, read_array

MAX_STEP = 4
"""Largest step along one axis: 32 directions end on a ring of radius 4."""

MAX_PIXELS = 1 << 28
"""Largest map, 16384 x 16384: a deflated file of 1 MB could declare a thousand times as much."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 ... uint64
_DTYPES = {1: 'i1', 2: 'u1', 3: '<i2', 4: '<u2', 5: '<i4', 6: '<u4', 7: '<f4', 9: '<f8', 12: '<i8'}
_PIECE = 1 << 17  # bytes; small enough to be looked at while it is in the cache


class OtherSizeError(DataError):
    """Offsets of another size than the labels."""


class _NotPlainError(Exception):
    """The file is not of the plain kind; the general reader shall read it."""


def read_offset_mat(data: bytes, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Offsets (H, W, 2) int8, column-major, from the bytes of a ``.mat`` file.

    Args:
        data: content of the file.
        name: names the file in messages.
        size: (H, W) that it must have, known before anything is inflated; None: any.

    Raises:
        DataError: the file is broken, has no ``mat`` of shape (H, W, 2), or holds numbers that
            are no whole steps of at most ``MAX_STEP`` pixels.
    """
    try:
        flat, shape = _read_plain(data, 'mat', name, size)
    except (_NotPlainError, struct.error, zlib.error):
        array = read_mat(data, ['mat'], name)['mat']
        _require_shape(array.shape, size, name)
        flat, shape = as_steps(array.reshape(-1, order='F'), name), array.shape
    return flat.reshape(shape, order='F')


def _require_shape(shape: tuple[int, ...], size: tuple[int, int] | None, name: str) -> None:
    if len(shape) != 3 or shape[2] != 2:
        raise DataError(
            f'{name}: the array mat has shape {shape}; offsets are (height, width, 2): rows and '
            'columns to move by'
        )
    require_size(shape[:2], size, name)


def require_size(found: tuple[int, ...], size: tuple[int, int] | None, name: str) -> None:
    """Check the (H, W) of offsets.

    Raises:
        OtherSizeError: it is another one.
        DataError: it is larger than any image.
    """
    if size is not None and tuple(found) != tuple(size):
        raise OtherSizeError(
            f'{name} is {found[0]} x {found[1]} pixels, the labels are {size[0]} x {size[1]} '
            '(rows x columns): offsets must be predicted at the size of the labels'
        )
    if found[0] * found[1] > MAX_PIXELS:
        raise DataError(
            f'{name} declares {found[0]} x {found[1]} pixels, more than any image here: is it '
            'damaged?'
        )


def as_steps(values: np.ndarray, name: str) -> np.ndarray:
    """Offsets of any numeric type as int8.

    Raises:
        DataError: numbers that are not whole or larger than ``MAX_STEP``.
    """
    if values.dtype.kind not in 'iufb':
        raise DataError(f'{name}: offsets of type {values.dtype}; numbers are needed')
    if values.size and not (values.min() >= -MAX_STEP and values.max() <= MAX_STEP):
        raise DataError(
            f'{name}: offsets from {values.min()} to {values.max()}; SegFix moves pixels by '
            f'-{MAX_STEP} to {MAX_STEP} (and apply multiplies that by --scale): is this a file '
            'of another kind?'
        )
    steps = values.astype(np.int8)
    if values.dtype.kind == 'f' and not np.array_equal(steps, values):
        raise DataError(
            f'{name}: offsets of type {values.dtype} with fractions; whole pixels are needed: '
            'round them, or take the direction class of each pixel'
        )
    return steps


def read_mat(data: bytes, keys: Sequence[str], name: str) -> dict[str, np.ndarray]:
    """The arrays ``keys`` of a ``.mat`` file.

    Raises:
        DataError: the file is broken, of version 7.3, or an array is not of numbers.
        MissingArrayError: it lacks one of the arrays.
    """
    try:
        return {key: read_array(data, [key], name) for key in keys}
    except MissingArrayError as error:
        raise MissingArrayError(
            f'{error}: offset files hold mat, target files depth, dir_deg and deg_reduce',
            error.found,
        ) from None


def mat_bytes(**arrays: np.ndarray) -> bytes:
    """Content of a compressed version 5 ``.mat`` file with these arrays."""
    import scipy.io  # for those alone who write such files

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=True)
    return buffer.getvalue()


def _read_plain(
    data: bytes, key: str, name: str, size: tuple[int, int] | None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Array ``key`` as flat int8 steps, column-major, with its shape.

    Raises:
        _NotPlainError: the file needs the general reader.
        DataError: the array is of another shape or cut short.
    """
    if len(data) < _HEADER or data[124:128] != b'\x00\x01IM':
        raise _NotPlainError
    position = _HEADER
    while position + 8 <= len(data):
        kind, length = struct.unpack_from('<II', data, position)
        if kind != _COMPRESSED:
            raise _NotPlainError
        content = data[position + 8 : position + 8 + length]
        position += 8 + length
        inflate = zlib.decompressobj()
        start = inflate.decompress(content, _PIECE)
        found, shape, dtype, begin = _matrix_header(start)
        if found == key:
            _require_shape(shape, size, name)
            count = int(np.prod(shape, dtype=np.int64))
            return _steps_in_pieces(inflate, start[begin:], count, dtype, name), shape
    raise _NotPlainError


def _matrix_header(start: bytes) -> tuple[str, tuple[int, ...], np.dtype, int]:
    """Name, shape, stored type and first byte of the numbers of a matrix element."""
    kind, _, _, _, flags, _, dims_kind, dims_size = struct.unpack_from('<8I', start)
    if kind != _MATRIX or (flags & 0xFF) not in _NUMERIC_CLASSES or flags & 0x0800:
        raise _NotPlainError  # no matrix, not numeric, or complex
    if dims_kind != 5 or dims_size > 64:
        raise _NotPlainError
    shape = struct.unpack_from(f'<{dims_size // 4}i', start, 32)
    position = 32 + -(-dims_size // 8) * 8
    name, position = _small_or_full(start, position)
    kind, size = struct.unpack_from('<II', start, position)
    if kind not in _DTYPES:  # also numbers that are so few that they sit in the tag itself
        raise _NotPlainError
    dtype = np.dtype(_DTYPES[kind])
    if not shape or min(shape) < 0 or size != np.prod(shape, dtype=np.int64) * dtype.itemsize:
        raise _NotPlainError
    return name.decode('latin1'), shape, dtype, position + 8


def _small_or_full(start: bytes, position: int) -> tuple[bytes, int]:
    """Content of an element, and where the next one begins; up to 4 bytes sit in the tag."""
    size = struct.unpack_from('<H', start, position + 2)[0]
    if size:
        return start[position + 4 : position + 4 + size], position + 8
    size = struct.unpack_from('<I', start, position + 4)[0]
    return start[position + 8 : position + 8 + size], position + 8 + -(-size // 8) * 8


def _steps_in_pieces(
    inflate: Any, piece: bytes, count: int, dtype: np.dtype, name: str
) -> np.ndarray:
    """``count`` numbers of type ``dtype`` as int8 steps, inflated piece by piece."""
    # more numbers than the deflated bytes can hold is a broken size, not a reason to allocate
    if count * dtype.itemsize > 1100 * (len(inflate.unconsumed_tail) + _PIECE):
        raise _NotPlainError
    steps = np.empty(count, np.int8)
    done = 0
    while True:
        whole = len(piece) // dtype.itemsize
        numbers = np.frombuffer(piece, dtype, min(whole, count - done))
        steps[done : done + numbers.size] = as_steps(numbers, name)
        done += numbers.size
        if inflate.eof:  # only here has zlib compared its checksum
            break
        rest = piece[whole * dtype.itemsize :]
        more = inflate.decompress(inflate.unconsumed_tail, _PIECE)
        if not more and not inflate.eof:
            break
        piece = rest + more if rest else more
    if done < count or not inflate.eof:
        raise DataError(f'{name} is cut short: replace it by an intact copy')
    return steps
