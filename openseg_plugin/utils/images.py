"""Finds image files that are cut short: OpenCV decodes those to a half grey image silently."""

import os

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
