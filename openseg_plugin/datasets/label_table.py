"""What the numbers of label files become in training; numbers that belong to no class.

H, W: size of the image; *raw* values are those in the file, *train* values those the loss sees.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from openseg_plugin.errors import DataError


def label_table(
    num_classes: int,
    *,
    ignore_index: int = 255,
    reduce_zero_label: bool = False,
    label_map: Mapping[int, int] | None = None,
    void_ids: Sequence[int] = (),
) -> np.ndarray:
    """Train value of every raw value: (256,) int16, -1 where the raw value must not occur.

    Args:
        num_classes: train values are 0 .. num_classes - 1.
        ignore_index: train value of pixels that no loss and no metric counts.
        reduce_zero_label: raw 0 is ignored, raw k becomes k - 1 (raw 255 stays ignored).
        label_map: changes values after ``reduce_zero_label``, as in mmseg's datasets.
        void_ids: raw values that are ignored.
    """
    table = np.arange(256, dtype=np.int16)
    if reduce_zero_label:
        table = np.where((table == 0) | (table == 255), ignore_index, table - 1).astype(np.int16)
    if label_map:
        changes = np.arange(256, dtype=np.int16)
        changes[list(label_map)] = list(label_map.values())
        table = changes[table]
    table[list(void_ids)] = ignore_index
    table[(table >= num_classes) & (table != ignore_index)] = -1
    return table


def ranges(values: Sequence[int]) -> str:
    """'0..18, 255' for sorted integers."""
    numbers = np.asarray(values)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1) if numbers.size else []
    return ', '.join(str(run[0]) if run.size == 1 else f'{run[0]}..{run[-1]}' for run in runs)


_LOSSY = ('.jpg', '.jpeg', '.jpe', '.jfif')


def _pixels(number: int) -> str:
    return '1 pixel' if number == 1 else f'{number} pixels'


def to_train_values(label: np.ndarray, table: np.ndarray, *, path: str) -> np.ndarray:
    """Raw values (H, W) uint8 -> train values (H, W) uint8, by the table of :func:`label_table`.

    Raises:
        DataError: values without a class; says which, on how many pixels, and in which file.
    """
    if cv2.countNonZero(cv2.LUT(label, (table < 0).astype(np.uint8))):
        unknown = np.setdiff1d(label, np.flatnonzero(table >= 0))
        found = ', '.join(
            f'{value} ({_pixels(int(np.count_nonzero(label == value)))})' for value in unknown[:8]
        )
        more = f' and {unknown.size - 8} more' if unknown.size > 8 else ''
        known = np.flatnonzero(table >= 0).tolist()
        if path.lower().endswith(_LOSSY):
            raise DataError(
                f'label file {path} was saved as JPEG, which changes numbers: it holds {found}'
                f'{more} beside {ranges(known)}; export the labels again as PNG'
            )
        raise DataError(
            f'label file {path} holds values outside the classes: {found}{more}; allowed are '
            f'{ranges(known)}: convert the labels again, or give the right dataset class, '
            'classes or reduce_zero_label in the config'
        )
    if np.array_equal(table, np.arange(256)):
        return label
    return cv2.LUT(label, table.astype(np.uint8))
