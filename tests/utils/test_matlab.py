"""The reader of MATLAB files: what published label data holds, and nothing that crashes it."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from in_one_test import in_one_test

from openseg_plugin.errors import DataError
from openseg_plugin.utils.matlab import MissingArrayError, read_array

VALUES = np.arange(24, dtype=np.int32).reshape(4, 6) * 1000


def saved(*, compressed: bool = True, **arrays: object) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=compressed)
    return buffer.getvalue()


@in_one_test('compressed', [True, False])
@in_one_test('dtype', ['u1', 'i2', 'u4', 'i8', 'u8', 'f4', 'f8'])
def test_arrays_and_fields_are_read_as_scipy_reads_them(dtype, compressed):
    values = VALUES.astype(dtype)
    structure = {'Name': 'a', 'Map': values, 'Cells': np.array([1, 'b'], object)}
    data = saved(compressed=compressed, other=np.eye(3), S=values, GT=structure)
    for keys in (['S'], ['GT', 'Map']):
        read = read_array(data, keys, 'x.mat')
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, values)


def test_file_of_the_other_byte_order_is_read():
    numbers = VALUES.astype('>i4')
    body = struct.pack('>IIII', 6, 8, 12, 0) + struct.pack('>II2i', 5, 8, 4, 6)
    body += struct.pack('>II8s', 1, 3, b'mat') + struct.pack('>II', 5, numbers.nbytes)
    body += numbers.tobytes(order='F')
    header = b'MATLAB 5.0'.ljust(124) + b'\x01\x00MI'
    data = header + struct.pack('>II', 14, len(body)) + body
    np.testing.assert_array_equal(read_array(data, ['mat'], 'x.mat'), VALUES)


@in_one_test(
    ('value', 'message'),
    [
        (scipy.sparse.eye(4).tocsc(), 'x.mat: mat holds a sparse array'),
        (np.array([1, 'a'], object), 'x.mat: mat holds a cell array'),
        ('words', 'x.mat: mat holds text'),
        ({'a': 1}, 'x.mat: mat holds a structure'),
        (VALUES.astype(complex), 'x.mat: mat is of type complex'),
    ],
)
def test_what_is_no_array_of_numbers_is_named(value, message):
    with pytest.raises(DataError, match=message):
        read_array(saved(mat=value), ['mat'], 'x.mat')


def test_missing_array_says_which_there_are():
    with pytest.raises(MissingArrayError, match='no array mat, only a, b') as caught:
        read_array(saved(a=1, b=2), ['mat'], 'x.mat')
    assert caught.value.found == ('a', 'b')


def bomb(size: int = 1 << 31) -> bytes:
    """Zeros that were deflated a thousandfold, and more of them declared."""
    head = struct.pack('<IIII', 6, 8, 12, 0) + struct.pack('<II2i', 5, 8, size // 4, 1)
    head += struct.pack('<II8s', 1, 3, b'mat') + struct.pack('<II', 5, size)
    deflated = zlib.compress(struct.pack('<II', 14, len(head) + size) + head + bytes(1 << 22))
    header = b'MATLAB 5.0'.ljust(124) + b'\x00\x01IM'
    return header + struct.pack('<II', 15, len(deflated)) + deflated


def test_bomb_is_refused():
    with pytest.raises(DataError, match='it declares 2048 MiB'):
        read_array(bomb(), ['mat'], 'x.mat')
    with pytest.raises(DataError, match='cut short'):
        read_array(bomb(1 << 24), ['mat'], 'x.mat')


@pytest.mark.parametrize('compressed', [True, False])
def test_damaged_files_end_in_one_sentence_or_are_read(compressed):
    """Seeded damage everywhere, above all in the sizes, which crashed a reader in C."""
    whole = saved(compressed=compressed, other=VALUES[:1], mat=VALUES)
    generator = np.random.default_rng(0)
    for _ in range(400):
        data = bytearray(whole)
        for place in generator.integers(128, len(data), generator.integers(1, 4)):
            data[place] = generator.integers(256)
        try:
            read_array(bytes(data[: generator.integers(1, 2 * len(data))]), ['mat'], 'x.mat')
        except DataError as error:
            assert str(error).startswith('x.mat')


def test_small_element_that_declares_three_kilobytes_is_refused():
    data = bytearray(saved(compressed=False, mat=VALUES))
    place = data.rfind(struct.pack('<II', 5, VALUES.nbytes))
    data[place : place + 4] = struct.pack('<I', 0x0C000005)
    with pytest.raises(DataError, match='3072 bytes in a place for 4'):
        read_array(bytes(data), ['mat'], 'x.mat')
