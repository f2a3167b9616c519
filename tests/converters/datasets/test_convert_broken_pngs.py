"""PNG images that are linked as they are: damage is found without decoding them."""

import struct
import zlib
from pathlib import Path

import pytest
from tiny_sets import image, numbers, save

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.core.images import image_size
from openseg_plugin.errors import DataError

QUIET = Settings(show_progress=False, workers=1)


def chunk(name: bytes, body: bytes, *, checksum: int | None = None) -> bytes:
    right = zlib.crc32(name + body)
    stored = right if checksum is None else checksum
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', stored)


def start_of(content: bytes, name: bytes) -> int:
    """Where a chunk begins, with its length."""
    return content.index(name) - 4


def flipped(content: bytes) -> bytes:
    place = start_of(content, b'IDAT') + 500
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


def longer(content: bytes) -> bytes:
    place = start_of(content, b'IDAT')
    return content[:place] + b'\xff' + content[place + 1 :]


DAMAGES = {
    'a bit of the pixels': (flipped, 'chunk IDAT has a wrong checksum'),
    'a length': (longer, 'its end is missing'),
    'the end': (lambda c: c[:-12], 'its end is missing'),
    'half of it, with an end mark': (lambda c: c[: len(c) // 2] + c[-12:], 'its end is missing'),
}


@pytest.mark.parametrize('damage, text', DAMAGES.values(), ids=DAMAGES)
def test_convert_links_no_damaged_png(tmp_path: Path, damage, text: str) -> None:
    broken = save(tmp_path / 'raw/images/a.png', image())
    save(tmp_path / 'raw/labels/a.png', numbers(3))
    broken.write_bytes(damage(broken.read_bytes()))
    with pytest.raises(DataError, match=rf'a\.png is cut short or broken \({text}'):
        convert('masks', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert not (tmp_path / 'dst/train/image/a.png').exists()


@pytest.mark.parametrize('decode', [False, True])
def test_image_size_takes_a_png_with_comments_and_more_behind_its_end(
    tmp_path: Path, decode: bool
) -> None:
    path = save(tmp_path / 'a.png', image())
    content = path.read_bytes()
    place = start_of(content, b'IEND')
    comment = chunk(b'teSt', b'x', checksum=0)
    path.write_bytes(content[:place] + comment + content[place:] + bytes(99))
    assert image_size(path, decode=decode) == (24, 32)
