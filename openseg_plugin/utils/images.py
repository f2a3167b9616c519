"""Image files and arrays: files that are cut short, images for eyes, names of what is made of them.

OpenCV decodes a file that is cut short to a half grey image, silently.
"""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError

_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG_START, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'


def check_image(path: str) -> None:
    """Makes sure that a JPEG or PNG file is there and complete; other formats pass.

    Reads the first and last few bytes; only a file with an unusual end is decoded as a whole.

    Raises:
        DataError: the file is missing, empty or cut short.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(8)
            file.seek(-min(8, os.fstat(file.fileno()).st_size), os.SEEK_END)
            end = file.read()
    except FileNotFoundError as error:
        raise DataError(f'image {path} is missing: put it there or take it out of the split') from (
            error
        )
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


def _decode(path: str) -> None:
    """Decodes the whole file: cameras append bytes after the end mark of an intact image."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f'image {path} is cut short or broken ({error}): replace it by an intact copy'
        ) from error


def for_display(image: np.ndarray) -> np.ndarray:
    """An image of any type and number of channels as people see it, (H, W, 3) uint8.

    One channel becomes grey, two get a third of zeros, of more than three the first three stay.
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

    def of(self, path: str) -> str:
        """Name for the results of the image ``path``, with forward slashes.

        Raises:
            DataError: another image has this name already; its results would be overwritten.
        """
        name = os.path.basename(path)
        if self._root is not None:
            below = os.path.relpath(os.path.abspath(path), self._root)
            name = name if below.startswith('..') else below
        name = os.path.splitext(name)[0].replace(os.sep, '/')
        other = self._taken.setdefault(name, path)
        if other != path:
            raise DataError(
                f'{path} and {other} would both be written as {name}: rename one of them, or put '
                'them into different folders below that of the images'
            )
        return name
