"""What the numbers in label files become in training.

*Raw* values are those in the file, *train* values those the loss sees.
"""

from collections.abc import Mapping, Sequence

import numpy as np


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
