"""Label files, read and written. H, W: size of a map in pixels.

Label maps as PNG files with a palette, under the values a dataset uses.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from openseg_plugin.errors import DataError
from openseg_plugin.utils.atomic import atomic_write

# Run lengths without a filter: for label maps smaller than zlib's best, and 6 times as fast.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, 'IMWRITE_PNG_FILTER'):  # OpenCV >= 4.11
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


def read_label(path: Path) -> np.ndarray:
    """Numbers of a label file, (H, W) uint8, or uint16 where the file has 16 bits.

    Of a palette image the numbers are the palette's positions, as every tool writes them.

    Raises:
        DataError: the file is missing, broken, or a colour image.
    """
    try:
        with Image.open(path) as image:
            label = np.asarray(image)
    except FileNotFoundError as error:
        raise DataError(f'label file {path} is missing') from error
    except UnidentifiedImageError as error:
        raise DataError(f'label file {path} is not an image: replace it') from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f'label file {path} is broken ({error}): replace it') from error
    if label.ndim != 2:
        raise DataError(
            f'label file {path} is a colour image ({label.shape[-1]} channels) where one class '
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
        colours = np.zeros((256, 3), np.uint8)
        colours[table] = np.asarray(palette, np.uint8)[: len(table)]
        image.putpalette(colours.tobytes())
    # a distributed sampler may give one image to two processes
    with atomic_write(path, sync=False) as temporary:
        image.save(temporary, format='PNG')
