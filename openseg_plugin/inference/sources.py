"""SOURCE of a prediction: files, folders, patterns, lists, addresses, videos and cameras.

Everything is found, named and checked before the first image is read.
"""

import contextlib
import glob
import io
import os
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, TextIO
from urllib.error import URLError
from urllib.request import Request, urlopen

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.utils.download import is_address
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.images import (
    BROKEN_TIFF,
    OutputNames,
    check_image,
    check_png,
    import_tifffile,
    is_tiff,
)

VIDEOS = ('.mp4', '.mov', '.mkv', '.avi', '.webm', '.m4v')
_CAMERA = re.compile(r'camera:(\d+)')
_MAX_BYTES = 256 * 2**20  # of an image from the web
_TIMEOUT = 30  # seconds
ALWAYS_WHOLE = 4 * 2**20  # pixels of an image that is read, and first tried, as a whole
_LARGEST_PIECE = 2**26  # bytes of a strip or tile of a TIFF that is read by windows
_KEPT = 2**27  # bytes of strips or tiles that stay decoded


@dataclass(frozen=True)
class Source:
    """One image, video or camera.

    Attributes:
        path: of the file, or an address, or ``camera:N``.
        name: of what is made of it, relative to the output folder, without an ending.
        kind: 'image', 'address', 'video' or 'camera'.
    """

    path: str
    name: str
    kind: str

    @property
    def origin(self) -> str:
        """What its results are known by: the absolute path of the file, or the address."""
        return _origin(self.path, self.kind)


def _origin(path: str, kind: str) -> str:
    return os.path.realpath(path) if kind in ('image', 'video') else path


def find_sources(
    given: Sequence[str],
    *,
    recursive: bool = False,
    out: Path | None = None,
    listed: TextIO | None = None,
) -> list[Source]:
    """All images and videos that the words stand for, in their order, each once.

    Args:
        given: files, folders, patterns, addresses, ``camera:N``, or ``-`` for a list.
        recursive: folders with all that is below them.
        out: where results will go.
        listed: where ``-`` reads one path per line; None: standard input.

    Raises:
        DataError: one does not exist or holds no image, two would have one name, or results would
            go among the images.
    """
    folders: list[str] = []
    found: dict[str, str] = {}
    for word in _words(given, listed or sys.stdin):
        if os.path.isdir(word):
            folders.append(word)
            _refuse_output_in(word, out, recursive=recursive)
            paths = _in_folder(word, recursive=recursive)
        elif is_address(word) or _CAMERA.fullmatch(word) or os.path.isfile(word):
            paths = [word]
        else:
            paths = _matching(word)
            folders.append(folder := _folder_of(word))
            _refuse_output_in(folder, out, recursive='**' in word.split('/'))
        for path in paths:
            found.setdefault(path, _kind(path))
    # results of a video have an ending of their own: cameras call a video as the image beside it
    names = {False: OutputNames(folders), True: OutputNames(folders)}
    spelled: dict[str, str] = {}  # file -> its first path: it can be given as a/1.jpg and a/./1.jpg
    sources: dict[tuple[bool, str], Source] = {}
    for path, kind in found.items():
        is_moving = kind in ('video', 'camera')
        first = spelled.setdefault(_origin(path, kind), path)
        name = names[is_moving].of(_plain(path), origin=first)
        sources.setdefault((is_moving, name), Source(path, name, kind))
    return [*sources.values()]


def _words(given: Sequence[str], listed: TextIO) -> Iterator[str]:
    for word in given:
        if word != '-':
            yield word
            continue
        lines = [line.strip() for line in listed]
        if not any(lines):
            raise DataError('the list of images on standard input is empty: give a path per line')
        yield from filter(None, lines)


def _kind_of_no_file(word: str) -> str | None:
    if _CAMERA.fullmatch(word):
        return 'camera'
    return 'address' if is_address(word) else None


def _kind(path: str) -> str:
    if kind := _kind_of_no_file(path):
        return kind
    ending = os.path.splitext(path)[1].lower()
    if ending in VIDEOS:
        return 'video'
    if ending in IMAGE_ENDINGS:
        return 'image'
    raise DataError(
        f'{path} ends in {ending or "nothing"}: give an image ({", ".join(IMAGE_ENDINGS)}) or a '
        f'video ({", ".join(VIDEOS)})'
    )


def _plain(path: str) -> str:
    """What names a result: of an address its last part, of a camera its number."""
    if is_address(path):
        return path.split('?')[0].split('#')[0].rstrip('/').rpartition('/')[2] or 'image'
    return path.replace(':', '_') if _CAMERA.fullmatch(path) else path


def _in_folder(folder: str, *, recursive: bool) -> list[str]:
    paths: Iterable[Path] = Path(folder).rglob('*') if recursive else Path(folder).iterdir()
    endings = IMAGE_ENDINGS + VIDEOS
    found = sorted(
        str(path)
        for path in paths
        if path.suffix.lower() in endings and path.is_file() and not path.name.startswith('.')
    )
    if not found:
        more = '' if recursive else ' (with --recursive also those below it)'
        raise DataError(f'folder {folder} holds no image{more}: known are {", ".join(endings)}')
    return found


def _matching(pattern: str) -> list[str]:
    found = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not found:
        what = 'matches no file' if glob.has_magic(pattern) else 'does not exist'
        raise DataError(f'{pattern} {what}: give images, folders, patterns, addresses or a video')
    return [
        path for path in found if os.path.splitext(path)[1].lower() in IMAGE_ENDINGS + VIDEOS
    ] or found


def _folder_of(pattern: str) -> str:
    """The part of a pattern without wildcards."""
    parts: list[str] = []
    for part in pattern.split('/'):
        if glob.has_magic(part):
            break
        parts.append(part)
    return '/'.join(parts) or ('/' if pattern.startswith('/') else '.')


def _refuse_output_in(folder: str, out: Path | None, *, recursive: bool) -> None:
    if out is None:
        return
    place, source = out.resolve(), Path(folder).resolve()
    if place == source or (recursive and place.is_relative_to(source)):
        raise DataError(
            f'--out {out} lies in {folder}, whose images are predicted: give a folder outside of '
            'it, or the results are taken for images next time'
        )


def check_file(path: str) -> None:
    """Makes sure that an image file is there and whole, as far as its ends and checksums tell.

    OpenCV's decoder of PNG writes to standard error what it finds, so it gets no file whose
    checksums are wrong; they take a twentieth of the time that decoding takes.

    Raises:
        DataError: it is not.
    """
    check_image(path)
    if path.lower().endswith('.png'):
        check_png(path)


def why_undecodable(path: str, error: Exception) -> str:
    """What is wrong with a file that OpenCV does not decode, and what to do."""
    text = ' '.join(str(error).split())
    if isinstance(error, MemoryError) or 'Insufficient memory' in text:
        return (
            'does not fit into the memory: save it as a tiled TIFF, which is read by windows, or '
            'give a smaller one'
        )
    if 'CV_IO_MAX_IMAGE' in text:
        return (
            'has more pixels than the decoder takes: save it as a tiled TIFF, which is read by '
            'windows, or raise the environment variable OPENCV_IO_MAX_IMAGE_PIXELS'
        )
    if is_tiff(path) and (bands := _bands(path)):
        return (
            f'holds {bands}, and the model takes 8-bit gray or color images: write the bands that '
            'it was trained with as such, without compression or with deflate'
        )
    reason = '' if isinstance(error, AssertionError) else f' ({text[:200]})'  # it names the path
    return f'cannot be decoded{reason}: replace it by an intact copy'


def _bands(path: str) -> str | None:
    """Number and type of the bands of a TIFF that is whole; None: it is not, as far as is known."""
    try:
        import tifffile

        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            page.asarray()
            return f'{page.samplesperpixel} bands of {page.dtype}, {page.compression.name.lower()}'
    except Exception:  # missing package, missing codec, broken file
        return None


def fetch(address: str, *, is_gray: bool = False, ignore_exif: bool = False) -> np.ndarray:
    """Image at a web address, (H, W, 3) uint8 BGR or, on request, gray (H, W).

    Args:
        address: of http or https.
        is_gray: the model takes gray images.
        ignore_exif: do not turn it as its EXIF data say.

    Raises:
        DataError: it cannot be had, is too large, or is no image.
    """
    try:
        with urlopen(Request(address), timeout=_TIMEOUT) as answer:
            content = answer.read(_MAX_BYTES + 1)
            if answer.length and len(content) <= _MAX_BYTES:  # which read lets pass
                raise IncompleteRead(content, answer.length)
    except (OSError, ValueError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise DataError(f'{address} cannot be reached ({reason})') from error
    if len(content) > _MAX_BYTES:
        raise DataError(f'{address} is larger than {_MAX_BYTES >> 20} MiB: download it by hand')
    flags = cv2.IMREAD_GRAYSCALE if is_gray else cv2.IMREAD_COLOR
    if ignore_exif:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error as error:
        raise DataError(f'{address} {why_undecodable(address, error)}') from error
    if image is None:
        raise DataError(f'{address} gives no image that can be decoded')
    return image


TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')  # little and big endian, and BigTIFF


def read_tiff(path: str, *, channels: int | None = None) -> 'np.ndarray | TiffWindows':
    """All bands of a TIFF, (H, W) or (H, W, C) in its own type.

    Uncompressed files stay on the disk, large compressed ones are decoded where they are looked
    at. Files with their bands one after the other (C, H, W) are turned.

    Args:
        path: the file.
        channels: of the model, where known: pages with as many columns are rows of an image, as
            tifffile writes arrays (H, W, C) without being told what they are.

    Raises:
        DataError: it cannot be read.
        DependencyError: tifffile is missing.
    """
    tifffile = import_tifffile(path)
    try:
        try:
            image: np.ndarray = tifffile.memmap(path, mode='r')
        except ValueError:  # compressed or in pieces
            windows = TiffWindows.of(path, lambda: _whole_tiff(path, channels))
            return _whole_tiff(path, channels) if windows is None else windows
        with tifffile.TiffFile(path) as file:
            axes = file.series[0].axes
    except (*BROKEN_TIFF, tifffile.TiffFileError) as error:
        raise DataError(f'{path} cannot be read ({error}): replace it by an intact copy') from error
    return _rows_first(image, axes, path, channels)


def _whole_tiff(path: str, channels: int | None) -> np.ndarray:
    with import_tifffile(path).TiffFile(path) as file:
        return _rows_first(file.asarray(), file.series[0].axes, path, channels)


def _rows_first(image: np.ndarray, axes: str, path: str, channels: int | None = None) -> np.ndarray:
    if _has_bands_first(image.shape, axes, path, channels):
        image = np.moveaxis(image, 0, -1)
    return image


def _has_bands_first(
    shape: tuple[int, ...], axes: str, path: str, channels: int | None = None
) -> bool:
    if len(shape) not in (2, 3):
        raise DataError(f'{path} holds {len(shape)} axes ({axes}): an image has rows and columns')
    is_image = len(shape) == 3 and channels == shape[2] != shape[0]
    return len(shape) == 3 and axes.endswith('YX') and not is_image


def tiff_shape(path: str, *, channels: int | None = None) -> tuple[int, int, int]:
    """(H, W, C) of what :func:`read_tiff` gives, as the file says; its pixels are not decoded.

    Raises:
        DataError: it cannot be read.
        DependencyError: tifffile is missing.
    """
    tifffile = import_tifffile(path)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            shape, axes = series.shape, series.axes
    except (*BROKEN_TIFF, tifffile.TiffFileError) as error:
        raise DataError(f'{path} cannot be read ({error}): replace it by an intact copy') from error
    if _has_bands_first(shape, axes, path, channels):
        shape = (*shape[1:], shape[0])
    height, width, bands = (*shape, 1)[:3]
    return height, width, bands


class TiffWindows:
    """A large TIFF whose pixels are decoded where they are asked for: ``image[rows, columns]``.

    Only strips or tiles that a window touches are read, from several threads if need be.

    Attributes:
        shape: (H, W) or (H, W, C).
        ndim: 2 or 3.
        dtype: of the samples.

    Args:
        file: the opened file, with one image.
        whole: gives the whole image, as whatever reads smaller files gives it.
        is_bgr: what is given has blue first, and no alpha.
    """

    def __init__(self, file: Any, whole: Callable[[], np.ndarray], *, is_bgr: bool) -> None:
        self._file = file
        self._page = file.pages[0]
        self._axes = file.series[0].axes
        self._whole = whole
        self._is_bgr = is_bgr
        page = self._page
        bands = 3 if is_bgr else page.samplesperpixel
        size = (page.imagelength, page.imagewidth)
        self.shape: tuple[int, ...] = size if bands == 1 else (*size, bands)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(page.dtype)
        self._stored: Any = None
        if page.is_memmappable and page.photometric.name != 'YCBCR':
            self._stored = import_tifffile(file.filename).memmap(file.filehandle.path, mode='r')
        self._known: dict[int, tuple[np.ndarray, Any]] = {}
        self._known_bytes = 0
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)

    @classmethod
    def of(
        cls, path: str, whole: Callable[[], np.ndarray], *, is_bgr: bool = False
    ) -> 'TiffWindows | None':
        """The windows of a file, or None where it is better read as a whole.

        That is a small one, one of several images, one that is turned or has no small pieces and,
        with ``is_bgr``, whatever is not 8-bit gray, RGB or RGBA.
        """
        try:
            import tifffile
        except ImportError:
            return None
        with contextlib.ExitStack() as opened:
            # whoever reads a broken one as a whole says what is wrong
            opened.enter_context(contextlib.suppress(*BROKEN_TIFF, tifffile.TiffFileError))
            file = opened.enter_context(tifffile.TiffFile(path))
            if len(file.series) == 1 and cls._suits(file, is_bgr=is_bgr):
                windows = cls(file, whole, is_bgr=is_bgr)
                opened.pop_all()
                return windows
        return None

    @staticmethod
    def _suits(file: Any, *, is_bgr: bool) -> bool:
        page = file.pages[0]
        turned = page.tags.get('Orientation')
        piece = 0 if page.is_memmappable else int(np.prod(page.chunks)) * page.dtype.itemsize
        if (
            page.imagelength * page.imagewidth <= ALWAYS_WHOLE
            or page.imagedepth != 1
            # pages with one band each; with is_bgr the first of several images is meant
            or (len(file.series[0].pages) > 1 and not is_bgr)
            or piece > _LARGEST_PIECE
            or (turned is not None and turned.value != 1)
        ):
            return False
        if not is_bgr:
            return True
        # of other alpha than this OpenCV makes other colors
        has_plain_alpha = [int(one) for one in page.extrasamples] in ([0], [1])
        colors = (page.photometric.name, page.samplesperpixel)
        return (page.dtype, page.bitspersample) == (np.uint8, 8) and (
            colors in (('MINISBLACK', 1), ('RGB', 3))
            # only the decoder of JPEG makes RGB of it
            or (colors == ('YCBCR', 3) and page.compression.name == 'JPEG')
            or (colors == ('RGB', 4) and has_plain_alpha)
        )

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """Pixels (h, w) or (h, w, C) of rows and columns.

        Raises:
            DataError: they cannot be decoded.
        """
        (top, bottom, _), (left, right, _) = (
            one.indices(side) for one, side in zip(window, self.shape)
        )
        bands = self._page.samplesperpixel
        if self._stored is not None:
            target = np.asarray(_rows_first(self._stored, self._axes, '')[top:bottom, left:right])
            target = target.reshape(*target.shape[:2], bands)
        else:
            target = self._decoded(top, bottom, left, right)
        if self._is_bgr:
            target = target.repeat(3, axis=2) if bands == 1 else target[:, :, 2::-1]
        elif bands == 1:
            target = target[:, :, 0]
        return np.ascontiguousarray(target)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The whole image, in memory.

        Raises:
            DataError: it cannot be decoded.
        """
        try:
            image = self._whole()
        except (DataError, MemoryError):
            raise
        except Exception as error:  # whatever a decoder does with a broken file
            path = self._file.filehandle.path
            raise DataError(f'image {path} {why_undecodable(path, error)}') from error
        return image if dtype is None else image.astype(dtype)

    def _decoded(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """Samples (h, w, C) as they are stored."""
        bands = self._page.samplesperpixel
        target = np.zeros((bottom - top, right - left, bands), self.dtype)
        for index in self._pieces(top, bottom, left, right):
            piece, (band, _, y, x, _) = self._piece(index)
            rows = slice(max(top, y), min(bottom, y + piece.shape[0]))
            columns = slice(max(left, x), min(right, x + piece.shape[1]))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            part = piece[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
            place = target[rows.start - top : rows.stop - top,
                           columns.start - left : columns.stop - left]  # fmt: skip
            place[:, :, band : band + part.shape[2]] = part
        return target

    def _pieces(self, top: int, bottom: int, left: int, right: int) -> Iterator[int]:
        """Numbers of the strips or tiles that a window touches."""
        page = self._page
        rows, columns = page.chunks[:2] if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        down, along = -(-self.shape[0] // rows), -(-self.shape[1] // columns)
        planes = len(page.dataoffsets) // (down * along)
        for plane in range(planes):
            for row in range(top // rows, -(-bottom // rows)):
                for column in range(left // columns, -(-right // columns)):
                    yield (plane * down + row) * along + column

    def _piece(self, index: int) -> tuple[np.ndarray, Any]:
        """Samples (h, w, C) of a strip or tile, and its place; the last few are kept."""
        page = self._page
        with self._lock:
            if index in self._known:
                return self._known[index]
            try:
                handle = page.parent.filehandle
                handle.seek(page.dataoffsets[index])
                content = handle.read(page.databytecounts[index])
                options = {}
                if page.jpegtables is not None:
                    options['jpegtables'] = page.jpegtables
                data, place, _ = page.decode(content or None, index, **options)
            except Exception as error:  # whatever a decoder does with a broken file
                text = ' '.join(str(error).split())[:200]
                raise DataError(
                    f'image {page.parent.filename} cannot be decoded ({text}): replace it by an '
                    'intact copy'
                ) from error
            shape = page.chunks if data is None else data.shape[1:]
            piece = np.zeros((*shape[:2], 1), self.dtype) if data is None else data[0]
            while self._known and self._known_bytes + piece.nbytes > _KEPT:
                self._known_bytes -= self._known.pop(next(iter(self._known)))[0].nbytes
            self._known[index] = piece, place
            self._known_bytes += piece.nbytes
            return piece, place


def as_bytes(image: np.ndarray, ending: str = '.png') -> bytes:
    """An RGB image (H, W, 3) uint8 as a file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format={'.png': 'PNG', '.jpg': 'JPEG'}[ending])
    return content.getvalue()
