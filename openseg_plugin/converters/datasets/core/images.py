"""Reading label maps, checking images, and writing palette PNGs."""

import io
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.converters.datasets.core.plan import Palette
from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import (
    BROKEN_IMAGE,
    ORIENTATION,
    TURNED,
    check_png,
    class_numbers,
    read_label,
)

_TAIL = 64
_JPEG_END = b'\xff\xd9'
# Above this many pixels OpenCV's float32 counts are no longer exact.
_EXACT_FLOAT = 2**24


def read_known(
    path: Path, *, last: int, table: np.ndarray | None = None, what: str = 'the dataset'
) -> np.ndarray:
    """Class numbers of a label file, (H, W) uint8, after making sure that each may occur.

    Args:
        path: the file.
        last: highest value; 255 may occur too.
        table: (256,) uint8, new value of each value; None leaves them as they are.
        what: whose values they are, for the message.

    Raises:
        DataError: the file cannot be read or holds another value; says which.
    """
    label = class_numbers(read_label(path), path)
    check_values(label, last=last, path=path, what=what)
    return label if table is None else apply_table(label, table)


def check_values(label: np.ndarray, *, last: int, path: Path, what: str) -> None:
    """Makes sure that a (H, W) uint8 map holds 0..last and 255 only.

    Raises:
        DataError: it does not; says which values and how many pixels.
    """
    counts = count_values(label)
    wrong = [value for value in range(last + 1, 255) if counts[value]]
    if wrong:
        found = ', '.join(f'{value} ({counts[value]} pixels)' for value in wrong[:5])
        raise DataError(f'{path} holds values that {what} does not have (0..{last}, 255): {found}')


def read_image(path: Path) -> np.ndarray:
    """Decoded image as Pillow gives it, (H, W) or (H, W, channels).

    Raises:
        DataError: the file is missing, broken or cut short.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing') from error
    except BROKEN_IMAGE as error:
        raise DataError(f'{path} cannot be decoded ({error}): get an intact copy') from error


def image_size(path: Path, *, decode: bool = False) -> tuple[int, int]:
    """(height, width) of an image that is complete, upright as training will read it.

    Reads the header and the end mark of a JPEG, and the checksums of a PNG; other files, and
    those with an unusual end, are decoded as a whole.

    Args:
        path: the file.
        decode: decode it in any case.

    Raises:
        DataError: the file is missing, not an image, or cut short.
    """
    try:
        with Image.open(path) as image:
            size = _upright(image)
            if image.format == 'PNG':
                check_png(path)
            if decode or not _has_end(path, image.format):
                image.load()
    except FileNotFoundError as error:
        raise DataError(f'image {path} is missing') from error
    except DataError:
        raise
    except BROKEN_IMAGE as error:
        raise DataError(
            f'image {path} is cut short or broken ({error}): get an intact copy'
        ) from error
    return size


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image by its header alone, upright as training will read it.

    Raises:
        DataError: the file is missing or not an image.
    """
    try:
        with Image.open(path) as image:
            return _upright(image)
    except FileNotFoundError as error:
        raise DataError(f'image {path} is missing') from error
    except BROKEN_IMAGE as error:
        raise DataError(f'image {path} is broken ({error}): get an intact copy') from error


def embedded_size(content: bytes, path: Path) -> tuple[int, int]:
    """(height, width) of an image inside an annotation file, which is decoded.

    Raises:
        DataError: it is not an image, or cut short; names the file that it lies in.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return _upright(image)
    except BROKEN_IMAGE as error:
        raise DataError(f'the image inside {path} is broken ({error}): save it anew') from error


def _upright(image: Image.Image) -> tuple[int, int]:
    if image.format in ('JPEG', 'MPO') and image.getexif().get(ORIENTATION) in TURNED:
        return image.width, image.height
    return image.height, image.width


def _has_end(path: Path, kind: str | None) -> bool:
    if kind != 'JPEG':
        return kind == 'PNG'  # its chunks were read up to the last
    with path.open('rb') as file:
        file.seek(-min(_TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return _JPEG_END in file.read()


def count_values(label: np.ndarray) -> np.ndarray:
    """Number of pixels of each value: (256,) int64 for a (H, W) uint8 map."""
    if label.size >= _EXACT_FLOAT:
        return np.bincount(label.ravel(), minlength=256)
    return cv2.calcHist([label], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def apply_table(label: np.ndarray, table: np.ndarray) -> np.ndarray:
    """New values of a (H, W) uint8 map by a (256,) uint8 table."""
    if not label.size:
        return label
    return cv2.LUT(np.ascontiguousarray(label), table)


def encode_png(values: np.ndarray, palette: bytes | None = None) -> bytes:
    """PNG file of a map: palette or gray (uint8), 16 bit gray (uint16).

    Args:
        values: (H, W) uint8 or uint16.
        palette: 768 bytes, R G B of each value; only for uint8.
    """
    image = Image.fromarray(np.ascontiguousarray(values))
    if palette is not None and values.dtype == np.uint8:
        image = image.convert('L')
        image.putpalette(palette)
    buffer = io.BytesIO()
    # Run lengths suit label maps: six times as fast as Pillow's default, and no larger.
    image.save(buffer, 'PNG', compress_level=3, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def palette_bytes(palette: Palette) -> bytes:
    """768 bytes for a PNG palette; values without a color get one of the PASCAL VOC color map."""
    colors = [*palette, *(voc_color(i) for i in range(len(palette), 256))]
    return bytes(channel for color in colors for channel in color)


def voc_color(index: int) -> tuple[int, int, int]:
    """Color of the PASCAL VOC color map: the bits of the index, taken in threes."""
    red = green = blue = 0
    for bit in range(7, -1, -1):
        red |= (index & 1) << bit
        green |= (index >> 1 & 1) << bit
        blue |= (index >> 2 & 1) << bit
        index >>= 3
    return red, green, blue
