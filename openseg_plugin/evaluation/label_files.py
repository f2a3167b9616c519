"""Label maps as PNG files with a palette, under the values a data set uses."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image


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
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    picture = Image.fromarray(table[ids])
    if table.dtype == np.uint8 and palette is not None:
        colours = np.zeros((256, 3), np.uint8)
        colours[table] = np.asarray(palette, np.uint8)[: len(table)]
        picture.putpalette(colours.tobytes())
    # a distributed sampler may give one picture to two processes
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        picture.save(temporary, format='PNG')
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
