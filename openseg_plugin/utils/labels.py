"""Label files, read and written. H, W: size of a map in pixels."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from openseg_plugin.errors import DataError

# Run lengths without a filter: for label maps smaller than zlib's best, and 6 times as fast.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, 'IMWRITE_PNG_FILTER'):  # OpenCV >= 4.11
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


def read_label(path: Path) -> np.ndarray:
    """Numbers of a label file, (H, W) uint8, or uint16 where the file has 16 bits.

    Of a palette picture the numbers are the palette's positions, as every tool writes them.

    Raises:
        DataError: the file is missing, broken, or a colour picture.
    """
    try:
        with Image.open(path) as picture:
            label = np.asarray(picture)
    except FileNotFoundError as error:
        raise DataError(f'label file {path} is missing') from error
    except UnidentifiedImageError as error:
        raise DataError(f'label file {path} is not a picture: replace it') from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f'label file {path} is broken ({error}): replace it') from error
    if label.ndim != 2:
        raise DataError(
            f'label file {path} is a colour picture ({label.shape[-1]} channels) where one class '
            'number per pixel is needed: convert the colours to class numbers first'
        )
    if label.dtype == bool:
        return label.astype(np.uint8)
    if label.dtype in (np.uint8, np.uint16):
        return label
    if label.size and not 0 <= label.min() <= label.max() < 1 << 16:
        raise DataError(
            f'label file {path} holds values from {label.min()} to {label.max()}; class numbers '
            'are 0..255, instance ids 0..65535'
        )
    return label.astype(np.uint16)


def label_bytes(label: np.ndarray) -> bytes:
    """Grey PNG of a label map (H, W) uint8 or uint16."""
    return cv2.imencode('.png', label, _PNG)[1].tobytes()
