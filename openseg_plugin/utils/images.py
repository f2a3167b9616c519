"""Reading and writing of image files and of label maps; names of the files made from them.

OpenCV decodes a file that is cut short to a half gray image, silently; here that is an error.
Label maps are PNG files with a palette, under the values a dataset uses.

Legend: (H, W) size of a map in pixels.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError, DependencyError
from openseg_plugin.utils.files import atomic_write

# What Pillow raises for a file that is not, or no longer, an image that it reads.
BROKEN_IMAGE: tuple[type[Exception], ...] = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG_START, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
# EXIF tag of the camera's position, and its values that exchange height and width
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)


def check_image(path: str) -> None:
    """Makes sure that a JPEG or PNG file is there and complete; other formats pass.

    Reads the first and last few bytes; only a file with an unusual end is decoded as a whole.

    Raises:
        DataError: the file is missing, empty, cut short or cannot be read.
    """
    with _readable(path) as file:
        start = file.read(8)
        file.seek(-min(8, os.fstat(file.fileno()).st_size), os.SEEK_END)
        end = file.read()
    if not start:
        raise DataError(f'image {path} is an empty file: replace it by an intact copy')
    if start.startswith(_JPEG_START):
        complete = end.endswith(_JPEG_END)
    elif start == _PNG_START:
        complete = end == _PNG_END
    else:
        complete = True
    if not complete:
        _decode(path)


@contextmanager
def _readable(path: str | Path) -> Iterator[BinaryIO]:
    """The opened file; what the system says against reading it names the image."""
    try:
        with open(path, 'rb') as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f'image {path} is missing: put it there or take it out of the split') from (
            error
        )
    except OSError as error:  # no permission, a broken disk
        reason = error.strerror or type(error).__name__
        raise DataError(
            f'image {path} cannot be read ({reason}): change its permissions, or get a copy from '
            'an intact disk'
        ) from error


def check_png(path: str | Path) -> None:
    """Makes sure that a PNG file is there up to its end, and that what pixels need is intact.

    Reads the chunks without decoding them. Files without the first bytes of a PNG pass, and so do
    comments and color profiles with a wrong checksum.

    Raises:
        DataError: the file cannot be read or ends before its last chunk does, or a checksum is
            wrong.
    """
    with _readable(path) as file:
        if file.read(len(_PNG_START)) != _PNG_START:
            return
        left = os.fstat(file.fileno()).st_size - file.tell()
        name = b''
        while name != b'IEND':
            head = file.read(8)
            length, name = struct.unpack('>I4s', head) if len(head) == 8 else (left, b'')
            left -= 8 + length + 4
            if left < 0:
                raise _broken_png(path, 'its end is missing')
            body = memoryview(file.read(length + 4))
            is_needed = not name[0] & 0x20  # lower case: comments, color profiles
            stored = int.from_bytes(body[-4:], 'big')
            if is_needed and zlib.crc32(body[:-4], zlib.crc32(name)) != stored:
                raise _broken_png(path, f'chunk {name.decode("latin-1")} has a wrong checksum')


def _broken_png(path: str | Path, fault: str) -> DataError:
    return DataError(f'image {path} is cut short or broken ({fault}): replace it by an intact copy')


def _decode(path: str) -> None:
    """Decodes the whole file: cameras append bytes after the end mark of an intact image."""
    try:
        with Image.open(path) as image:
            image.load()
    except BROKEN_IMAGE as error:
        raise DataError(
            f'image {path} is cut short or broken ({error}): replace it by an intact copy'
        ) from error


# what tifffile raises for broken files beside its own error
BROKEN_TIFF = (AttributeError, ArithmeticError, OSError, ValueError, LookupError)


def is_tiff(path: str) -> bool:
    """Whether the name says TIFF."""
    return path.lower().endswith(('.tif', '.tiff'))


def import_tifffile(path: str) -> Any:
    """The package tifffile, for the file ``path``.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import tifffile
    except ImportError as error:
        raise DependencyError(
            f'{path} needs the package tifffile, which is not installed: pip install '
            'openseg_plugin[geo]'
        ) from error
    return tifffile


def for_display(image: np.ndarray) -> np.ndarray:
    """An image of any type and number of channels as people see it, (H, W, 3) uint8.

    One channel becomes gray, two get a third of zeros, of more than three the first three stay.
    Types other than uint8 are stretched from their 1st to their 99th percentile.

    Args:
        image: (H, W) or (H, W, C).
    """
    image = image[:, :, None] if image.ndim == 2 else image
    channels = image.shape[2]
    if channels == 1:
        image = image.repeat(3, axis=2)
    elif channels == 2:
        image = np.concatenate([image, np.zeros_like(image[:, :, :1])], axis=2)
    image = image[:, :, :3]
    if image.dtype != np.uint8:
        values = np.nan_to_num(image.astype(np.float32))
        low, high = np.percentile(values, [1, 99])
        image = ((values - low) * (255 / max(high - low, 1e-12))).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)


class OutputNames:
    """Names of the results of images: their paths below a folder, without the ending.

    Args:
        folders: that the images lie in; what they have in common is left out of the names. None:
            names are those of the files.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        folders = [os.path.abspath(folder) for folder in folders]
        self._root = os.path.commonpath(folders) if folders else None
        self._taken: dict[str, str] = {}

    def of(self, path: str, *, origin: str | None = None) -> str:
        """Name for the results of the image ``path``, with forward slashes.

        Args:
            path: what the name is made of.
            origin: what the image is known by, such as a web address; None: the path.

        Raises:
            DataError: another image has this name already; its results would be overwritten.
        """
        name = os.path.basename(path)
        if self._root is not None:
            below = os.path.relpath(os.path.abspath(path), self._root)
            name = name if below.startswith('..') else below
        name = os.path.splitext(name)[0].replace(os.sep, '/')
        origin = path if origin is None else origin
        other = self._taken.setdefault(name, origin)
        if other != origin:
            raise DataError(
                f'{origin} and {other} would both be written as {name}: rename one of them, put '
                'them into different folders below that of the images, or give each another folder '
                'for its results'
            )
        return name


# Run lengths without a filter: for label maps smaller than zlib's best, and 6 times as fast.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, 'IMWRITE_PNG_FILTER'):  # OpenCV >= 4.11
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


def read_label(path: str | Path, *, content: bytes | None = None) -> np.ndarray:
    """Numbers of a label file, (H, W) uint8, or uint16 where the file has more bits.

    Of a palette image the numbers are the palette's positions, as every tool writes them.

    Args:
        path: the file; names it in messages.
        content: its bytes, when they have been read already.

    Raises:
        DataError: the file is missing, broken, cut short, a color image, has values > 65535 or
            fractions.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            label = np.asarray(image)
    except FileNotFoundError as error:
        raise DataError(
            f'label file {path} is missing: put it there or leave its image out'
        ) from error
    except BROKEN_IMAGE as error:
        raise DataError(
            f'label file {path} cannot be decoded ({error}): get an intact copy'
        ) from error
    if label.ndim != 2:
        raise DataError(
            f'label file {path} is a color image ({label.shape[-1]} channels) where one class '
            'number per pixel is needed: openseg convert-dataset masks turns colors into numbers'
        )
    if label.dtype in (np.uint8, np.uint16):
        return label
    if label.dtype == bool:
        return label.astype(np.uint8)
    if label.size and not 0 <= label.min() <= label.max() < 1 << 16:
        raise DataError(
            f'label file {path} holds values from {label.min()} to {label.max()}; class numbers '
            'are 0..255, instance ids 0..65535'
        )
    numbers = label.astype(np.uint16)
    if label.dtype.kind == 'f' and not np.array_equal(numbers, label):
        raise DataError(
            f'label file {path} holds fractions, as probabilities do: write whole class numbers'
        )
    return numbers


def class_numbers(label: np.ndarray, path: str | Path) -> np.ndarray:
    """The numbers of a label file as those of classes, (H, W) uint8.

    Raises:
        DataError: one lies outside 0..255; names the file.
    """
    if label.dtype == np.uint8:
        return label
    if label.size and not 0 <= label.min() <= label.max() <= 255:
        raise DataError(
            f'label file {path} holds values from {label.min()} to {label.max()} where class '
            'numbers 0..255 are needed: is this an instance map, not a class map?'
        )
    return label.astype(np.uint8)


def label_bytes(label: np.ndarray) -> bytes:
    """Gray PNG of a label map (H, W) uint8 or uint16."""
    return cv2.imencode('.png', label, _PNG)[1].tobytes()


def value_table(
    num_classes: int, *, label_ids: Sequence[int] | None = None, shift: int = 0
) -> np.ndarray:
    """Value to write for every class id, (K,) uint8, or uint16 where a byte is not enough.

    Args:
        num_classes: K.
        label_ids: value of each class; None: the class id plus ``shift``.
        shift: 1 for data whose label 0 means "nothing" (``reduce_zero_label``).

    Raises:
        ValueError: ``label_ids`` are not one per class.
    """
    values = np.arange(num_classes) + shift if label_ids is None else np.asarray(label_ids)
    if len(values) != num_classes:
        raise ValueError(f'{len(values)} label ids for {num_classes} classes: give one per class')
    return values.astype(np.uint8 if values.max(initial=0) < 2**8 else np.uint16)


def write_label_map(
    path: str, ids: np.ndarray, *, table: np.ndarray, palette: Sequence[Sequence[int]] | None
) -> None:
    """Write class ids as a PNG; the file has its name only once it is whole.

    Args:
        path: file to write; its folder is made.
        ids: (H, W) class ids.
        table: (K,) value of each class, from :func:`value_table`.
        palette: (red, green, blue) of each class, or None. 16-bit files have no palette.
    """
    image = Image.fromarray(table[ids])
    if table.dtype == np.uint8 and palette is not None:
        colors = np.zeros((256, 3), np.uint8)
        colors[table] = np.asarray(palette, np.uint8)[: len(table)]
        image.putpalette(colors.tobytes())
    # a distributed sampler may give one image to two processes
    with atomic_write(path, sync=False) as temporary:
        image.save(temporary, format='PNG')
