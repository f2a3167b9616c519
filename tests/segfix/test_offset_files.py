"""segfix/offset_files.py and mat_files.py: what is written is read; broken files are named."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from in_one_test import in_one_test
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.layers.direction_field import direction_vectors
from openseg_plugin.segfix.mat_files import mat_bytes, read_offset_mat
from openseg_plugin.segfix.offset_files import (
    offset_bytes,
    offsets_of_targets,
    read_offsets,
    read_targets,
    target_bytes,
    wheel_color,
)

SUFFIXES = ['.mat', '.png']


def drawn(number=8, shape=(23, 31), seed=0):
    """Offsets in blobs, as networks predict them."""
    rng = np.random.default_rng(seed)
    vectors = np.array([(0, 0), *direction_vectors(number)])
    codes = rng.integers(0, len(vectors), [-(-side // 5) for side in shape])
    return vectors[codes.repeat(5, 0).repeat(5, 1)[: shape[0], : shape[1]]]


def png_bytes(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, 'PNG', **options)
    return buffer.getvalue()


@in_one_test('suffix', SUFFIXES)
@in_one_test('number', [4, 8, 16, 32])
def test_read_offsets_gives_what_offset_bytes_wrote(suffix, number):
    offsets = drawn(number)
    read = read_offsets(offset_bytes(offsets, suffix), f'x{suffix}')
    assert read.dtype == np.int8
    np.testing.assert_array_equal(read, offsets)


def test_offset_bytes_of_any_steps_up_to_four_come_back():
    offsets = np.random.default_rng(0).integers(-4, 5, (30, 40, 2))
    np.testing.assert_array_equal(read_offsets(offset_bytes(offsets, '.png'), 'x.png'), offsets)


def test_offset_bytes_as_mat_is_what_the_original_wrote():
    offsets = drawn()
    stored = scipy.io.loadmat(io.BytesIO(offset_bytes(offsets, '.mat')))['mat']
    assert stored.dtype == np.int32
    np.testing.assert_array_equal(stored, offsets)


def test_offset_bytes_as_png_is_much_smaller_than_int32_and_shows_colors():
    offsets = np.zeros((256, 512, 2), np.int32)
    offsets[50:60] = 1, 0
    offsets[:, 100:108] = 0, -1
    content = offset_bytes(offsets, '.png')
    plain = io.BytesIO()
    scipy.io.savemat(plain, {'mat': offsets})
    assert 100 * len(content) < len(plain.getvalue())
    assert 2 * len(content) < len(offset_bytes(offsets, '.mat'))
    colors = np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))
    assert colors[0, 0].tolist() == [0, 0, 0]
    assert colors[55, 0].tolist() == list(wheel_color(1, 0))
    assert len({wheel_color(*vector) for vector in direction_vectors(8)}) == 8


@in_one_test('dtype', ['i1', 'u1', 'i2', 'i4', 'i8', 'f4', 'f8'])
@in_one_test('compressed', [True, False])
def test_read_offsets_of_any_numeric_type(dtype, compressed):
    offsets = np.abs(drawn()).astype(dtype)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {'other': offsets, 'mat': offsets}, do_compression=compressed)
    np.testing.assert_array_equal(read_offsets(buffer.getvalue(), 'x.mat'), offsets)


def test_read_offsets_of_a_large_map_in_many_pieces():
    offsets = drawn(shape=(300, 500))
    np.testing.assert_array_equal(read_offset_mat(offset_bytes(offsets, '.mat'), 'x'), offsets)


def test_read_targets_gives_what_target_bytes_wrote():
    rng = np.random.default_rng(0)
    depth = rng.integers(0, 251, (13, 17), dtype=np.uint8)
    direction = rng.integers(0, 181, (13, 17), dtype=np.uint8)
    read = read_targets(target_bytes(depth, direction), 'x.mat')
    for one, other in zip(read, (depth, direction)):
        assert one.dtype == np.uint8 and one.flags.c_contiguous
        np.testing.assert_array_equal(one, other)


def test_read_offsets_of_targets_gives_those_of_the_ground_truth():
    depth = np.array([[0, 1, 5, 6]], np.uint8)
    direction = np.array([[90, 90, 45, 90]], np.uint8)
    expected = [[[0, 0], [0, 1], [-1, 0], [0, 0]]]
    assert offsets_of_targets(depth, direction).tolist() == expected
    assert read_offsets(target_bytes(depth, direction), 'x.mat').tolist() == expected


def mat_with(**arrays):
    return mat_bytes(**arrays)


GOOD = drawn()
BROKEN_CHECKSUM = bytearray(offset_bytes(GOOD, '.mat'))
BROKEN_CHECKSUM[-1] ^= 1


@in_one_test(
    ('name', 'content', 'message'),
    [
        ('a.mat', b'', 'cannot be read as a .mat file'),
        ('a.mat', b'no mat at all' * 20, 'cannot be read as a .mat file'),
        ('a.mat', offset_bytes(GOOD, '.mat')[:-40], 'cut short|cannot be read'),
        ('a.mat', bytes(BROKEN_CHECKSUM), 'cannot be read'),
        ('a.mat', mat_with(other=GOOD), 'has no array mat, only other'),
        ('a.mat', mat_with(mat=GOOD[..., 0]), r'shape \(23, 31\)'),
        ('a.mat', mat_with(mat=GOOD.transpose(2, 0, 1)), r'shape \(2, 23, 31\)'),
        ('a.mat', mat_with(mat=GOOD * 50), 'offsets from -50 to 50'),
        ('a.mat', mat_with(mat=GOOD + 0.25), 'with fractions; whole pixels'),
        ('a.mat', mat_with(mat=np.where(GOOD == 0, np.nan, 1.0)), 'offsets from nan'),
        ('a.mat', mat_with(mat=GOOD.astype(complex)), 'of type complex'),
        ('a.png', b'', 'is not a PNG'),
        ('a.png', offset_bytes(GOOD, '.png')[:-40], 'is broken'),
        ('a.png', png_bytes(np.zeros((4, 5), np.uint8)), 'without a table of offsets'),
        ('a.png', png_bytes(np.zeros((4, 5, 3), np.uint8)), 'without a table of offsets'),
    ],
)
def test_read_offsets_of_an_unusable_file_names_it(name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read_offsets(content, f'folder/{name}')
    assert str(caught.value).startswith(f'folder/{name}')


def test_read_offsets_of_an_hdf5_mat_says_how_to_save_it():
    header = b'MATLAB 7.3 MAT-file'.ljust(124) + struct.pack('<H2s', 0x0200, b'IM')
    with pytest.raises(DataError, match='save -v7'):
        read_offsets(header + bytes(512), 'x.mat')


def test_read_offsets_of_a_mat_that_claims_to_be_huge_is_refused_unallocated():
    """Sizes that the deflated bytes cannot hold: 2 TB claimed in 100 bytes."""
    shape = (1 << 20, 1 << 19, 2)
    numbers = struct.pack('<II', 5, 0)
    dims = struct.pack('<II3i4x', 5, 12, *shape)
    body = struct.pack('<IIII', 6, 8, 12, 0) + dims + struct.pack('<HH4s', 1, 3, b'mat') + numbers
    element = zlib.compress(struct.pack('<II', 14, len(body)) + body)
    header = b'MATLAB 5.0'.ljust(124) + b'\x00\x01IM'
    content = header + struct.pack('<II', 15, len(element)) + element
    with pytest.raises(DataError):
        read_offsets(content, 'x.mat')


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        (dict(depth=np.zeros((3, 4)), dir_deg=np.zeros((3, 4))), 'no array deg_reduce'),
        (dict(depth=np.zeros((3, 4)), dir_deg=np.zeros((3, 4)), deg_reduce=4), 'deg_reduce is'),
        (dict(depth=np.zeros((3, 4)), dir_deg=np.zeros((3, 5)), deg_reduce=2), 'one size'),
        (dict(depth=np.zeros((3, 4)), dir_deg=np.full((3, 4), 200), deg_reduce=2), 'at most 180'),
    ],
)
def test_read_targets_of_an_unusable_mat_names_it(arrays, message):
    with pytest.raises(DataError, match=message):
        read_targets(mat_bytes(**arrays), 'x.mat')


def test_read_targets_of_an_offset_png_is_refused():
    with pytest.raises(DataError, match=r'cannot be read as a \.mat file'):
        read_targets(offset_bytes(GOOD, '.png'), 'x.png')


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_offset_bytes_of_larger_steps_is_refused(suffix):
    with pytest.raises(DataError, match='-4 to 4'):
        offset_bytes(GOOD * 5, suffix)


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_offsets_of_another_size_are_refused_before_they_are_unpacked(suffix):
    content = offset_bytes(np.zeros((512, 1024, 2), np.int8), suffix)
    with pytest.raises(DataError, match=f'a{suffix} is 512 x 1024 pixels, the labels are 4 x 5'):
        read_offsets(content, f'a{suffix}', (4, 5))
    assert read_offsets(content, f'a{suffix}', (512, 1024)).shape == (512, 1024, 2)


def test_png_that_declares_a_billion_pixels_is_one_sentence():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    header = struct.pack('>IIBBBBB', 1 << 15, 1 << 15, 8, 0, 0, 0, 0)
    content = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
    content += chunk(b'IDAT', zlib.compress(bytes(1 << 20))) + chunk(b'IEND', b'')
    with pytest.raises(DataError, match=r'a\.png (declares|is broken)'):
        read_offsets(content, 'a.png')


def test_damaged_offset_files_end_in_one_sentence_or_are_read():
    generator = np.random.default_rng(0)
    for suffix in SUFFIXES:
        whole = offset_bytes(GOOD, suffix)
        for _ in range(200):
            data = bytearray(whole)
            for place in generator.integers(16, len(data), 2):
                data[place] = generator.integers(256)
            with contextlib.suppress(DataError):
                read_offsets(bytes(data[: generator.integers(1, 2 * len(data))]), f'a{suffix}')


def test_mat_without_dimensions_is_one_sentence():
    content = mat_without_dimensions()
    with pytest.raises(DataError, match=r'a\.mat cannot be read'):
        read_offsets(content, 'a.mat')


def mat_without_dimensions() -> bytes:
    body = struct.pack('<IIII', 6, 8, 12, 0) + struct.pack('<II', 5, 0)
    body += struct.pack('<HH4s', 1, 3, b'mat') + struct.pack('<IIi4x', 5, 4, 0)
    element = zlib.compress(struct.pack('<II', 14, len(body)) + body)
    header = b'MATLAB 5.0'.ljust(124) + b'\x00\x01IM'
    return header + struct.pack('<II', 15, len(element)) + element
