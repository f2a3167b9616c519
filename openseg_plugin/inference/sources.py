"""SOURCE of a prediction: files, folders, patterns, lists, addresses, videos and cameras.

Everything is found, named and checked before the first image is read.
"""

import glob
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.error import URLError
from urllib.request import Request, urlopen

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError, DependencyError
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.images import OutputNames, check_image

VIDEOS = ('.mp4', '.mov', '.mkv', '.avi', '.webm', '.m4v')
_CAMERA = re.compile(r'camera:(\d+)')
_MAX_BYTES = 256 * 2**20  # of an image from the web
_TIMEOUT = 30  # seconds


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
        elif (
            word.startswith(('http://', 'https://'))
            or _CAMERA.fullmatch(word)
            or os.path.isfile(word)
        ):
            paths = [word]
        else:
            paths = _matching(word)
            folders += [folder] if (folder := _folder_of(word)) else []
        for path in paths:
            found.setdefault(path, _kind(path))
    names = OutputNames(folders)
    return [Source(path, names.of(_plain(path)), kind) for path, kind in found.items()]


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
    return 'address' if word.startswith(('http://', 'https://')) else None


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
    if path.startswith(('http://', 'https://')):
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
    """Makes sure that an image file is there and whole, as far as its ends tell.

    Raises:
        DataError: it is not.
    """
    check_image(path)


def fetch(address: str) -> np.ndarray:
    """Image at a web address, (H, W, 3) uint8 BGR, turned as its EXIF says.

    Raises:
        DataError: it cannot be had, is too large, or is no image.
    """
    try:
        with urlopen(Request(address), timeout=_TIMEOUT) as answer:
            content = answer.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise DataError(f'{address} cannot be reached ({reason})') from error
    if len(content) > _MAX_BYTES:
        raise DataError(f'{address} is larger than {_MAX_BYTES >> 20} MiB: download it by hand')
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise DataError(f'{address} gives no image that can be decoded')
    return image


def is_tiff(path: str) -> bool:
    """Whether the name says TIFF."""
    return path.lower().endswith(('.tif', '.tiff'))


def read_tiff(path: str) -> np.ndarray:
    """All bands of a TIFF, (H, W) or (H, W, C) in its own type; uncompressed ones stay on the disk.

    Files with their bands one after the other (C, H, W) are turned.

    Raises:
        DataError: it cannot be read.
        DependencyError: tifffile is missing.
    """
    try:
        import tifffile
    except ImportError as error:
        raise DependencyError(
            f'{path} needs the package tifffile, which is not installed: pip install '
            'openseg_plugin[geo]'
        ) from error
    try:
        try:
            image: np.ndarray = tifffile.memmap(path, mode='r')
        except ValueError:  # compressed or in pieces
            image = tifffile.imread(path)
        with tifffile.TiffFile(path) as file:
            axes = file.series[0].axes
    except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError) as error:
        raise DataError(f'{path} cannot be read ({error}): replace it by an intact copy') from error
    if image.ndim == 3 and axes.endswith('YX'):
        image = np.moveaxis(image, 0, -1)
    if image.ndim not in (2, 3):
        raise DataError(f'{path} holds {image.ndim} axes ({axes}): an image has rows and columns')
    return image


def as_bytes(image: np.ndarray, ending: str = '.png') -> bytes:
    """An RGB image (H, W, 3) uint8 as a file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format={'.png': 'PNG', '.jpg': 'JPEG'}[ending])
    return content.getvalue()
