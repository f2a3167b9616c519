"""The published MATLAB files: offsets (``mat``) and training targets (``depth``, ``dir_deg``).

scipy writes and reads them; for the plain case - one compressed numeric array after the other, as
openseg.pytorch and scipy write them - offsets are inflated piece by piece into int8 instead, so
that 16 MB of int32 never pass through memory. A file that is anything else goes to scipy.

Layout of a version 5 file: 128 bytes of header, then elements of (type, size, content). Type 15
holds another element, deflated; that is type 14, a matrix: flags, dimensions, name, numbers.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.io

from openseg_plugin.errors import DataError

MAX_STEP = 4
"""Largest step along one axis: 32 directions end on a ring of radius 4."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 ... uint64
_DTYPES = {1: 'i1', 2: 'u1', 3: '<i2', 4: '<u2', 5: '<i4', 6: '<u4', 7: '<f4', 9: '<f8', 12: '<i8'}
_PIECE = 1 << 17  # bytes; small enough to be looked at while it is in the cache


class MissingArrayError(DataError):
    """A ``.mat`` file lacks an array.

    Attributes:
        found: names of the arrays it has.
    """

    def __init__(self, message: str, found: Sequence[str]) -> None:
        super().__init__(message)
        self.found = tuple(found)


class _NotPlainError(Exception):
    """The file is not of the plain kind; scipy shall read it."""


def read_offset_mat(data: bytes, name: str) -> np.ndarray:
    """Offsets (H, W, 2) int8, column-major, from the bytes of a ``.mat`` file.

    Args:
        data: content of the file.
        name: names the file in messages.

    Raises:
        DataError: the file is broken, has no ``mat`` of shape (H, W, 2), or holds numbers that
            are no whole steps of at most ``MAX_STEP`` pixels.
    """
    try:
        flat, shape = _read_plain(data, 'mat', name)
    except (_NotPlainError, struct.error, zlib.error):
        array = read_mat(data, ['mat'], name)['mat']
        flat, shape = as_steps(array.reshape(-1, order='F'), name), array.shape
    if len(shape) != 3 or shape[2] != 2:
        raise DataError(
            f'{name}: the array mat has shape {shape}; offsets are (height, width, 2): rows and '
            'columns to move by'
        )
    return flat.reshape(shape, order='F')


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
        DataError: the file is broken or of version 7.3.
        MissingArrayError: it lacks one of the arrays.
    """
    try:
        arrays = scipy.io.loadmat(io.BytesIO(data), variable_names=list(keys))
        found = [entry[0] for entry in scipy.io.whosmat(io.BytesIO(data))]
    except NotImplementedError as error:
        raise DataError(
            f'{name} is a MATLAB 7.3 (HDF5) file; save it with "save -v7", which SegFix files use'
        ) from error
    except Exception as error:  # scipy raises whatever the first wrong byte leads to
        raise DataError(
            f'{name} cannot be read as a .mat file ({error}): replace it by an intact copy'
        ) from error
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise MissingArrayError(
            f'{name} has no array {", ".join(missing)}, only {", ".join(found) or "nothing"}: '
            'offset files hold mat, target files depth, dir_deg and deg_reduce',
            found,
        )
    return {key: arrays[key] for key in keys}


def mat_bytes(**arrays: np.ndarray) -> bytes:
    """Content of a compressed version 5 ``.mat`` file with these arrays."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=True)
    return buffer.getvalue()


def _read_plain(data: bytes, key: str, name: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Array ``key`` as flat int8 steps, column-major, with its shape.

    Raises:
        _NotPlainError: the file needs scipy.
    """
    if len(data) < _HEADER or data[124:128] != b'\x00\x01IM':
        raise _NotPlainError
    position = _HEADER
    while position + 8 <= len(data):
        kind, size = struct.unpack_from('<II', data, position)
        if kind != _COMPRESSED:
            raise _NotPlainError
        content = data[position + 8 : position + 8 + size]
        position += 8 + size
        inflate = zlib.decompressobj()
        start = inflate.decompress(content, _PIECE)
        found, shape, dtype, begin = _matrix_header(start)
        if found == key:
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
    if min(shape) < 0 or size != np.prod(shape, dtype=np.int64) * dtype.itemsize:
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
