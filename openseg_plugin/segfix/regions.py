"""Kinds of label maps, and the regions whose edges SegFix mends.

What a number in a label file means differs from folder to folder; ``KINDS`` names the four
meanings SegFix knows. Region rules: openseg.pytorch (commit aefc755), the offset generators of
Cityscapes and ADE20K. H, W: size of a map in pixels; void: pixels without a class.
"""

from collections.abc import Sequence

import cv2
import numpy as np

KINDS = {
    'train': 'class numbers 0, 1, 2 ... as networks are trained on them; 255 is void',
    'cityscapes': 'Cityscapes label ids 0..33, of which 19 are classes and the others void',
    'ade20k': 'ADE20K ids 1..150; 0 is void',
    'instance': 'Cityscapes instance ids: class * 1000 + number, or a label id for stuff (16 bit)',
}
VOID = 255
"""Void in train ids, and in refined Cityscapes label ids."""

CITYSCAPES_CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each of the 19 Cityscapes classes, in train id order."""

NUM_CITYSCAPES_IDS = 34
NUM_ADE20K_CLASSES = 150
MIN_PIXELS = 100
"""A class on fewer pixels of a picture makes no region (instances always make one)."""

FIRST_INSTANCE = 256
"""Instance ids from here on are single objects, each a region of its own."""


def class_table(kind: str, *, void: Sequence[int] = ()) -> np.ndarray:
    """Train id of every value of a label map: (256,) uint8, 255 for void.

    Args:
        kind: one of ``KINDS`` but 'instance'.
        void: further values that are void.

    Raises:
        ValueError: for another kind.
    """
    table = np.full(256, VOID, np.uint8)
    if kind == 'train':
        table[:VOID] = np.arange(VOID)
    elif kind == 'cityscapes':
        table[list(CITYSCAPES_CLASS_IDS)] = np.arange(len(CITYSCAPES_CLASS_IDS))
    elif kind == 'ade20k':
        table[1 : NUM_ADE20K_CLASSES + 1] = np.arange(NUM_ADE20K_CLASSES)
    else:
        raise ValueError(f'kind={kind!r} has no class table; one of {list(KINDS)[:3]} is needed')
    table[list(void)] = VOID
    return table


def region_map(
    labels: np.ndarray,
    kind: str = 'train',
    *,
    void: Sequence[int] = (),
    min_pixels: int = MIN_PIXELS,
) -> np.ndarray:
    """Number of the region each pixel belongs to, 0 for none: (H, W) uint8 or int32.

    A class is one region with all its parts. Of instance ids, every object is a region, every
    class without objects is one, and all void values together are one more.

    Args:
        labels: (H, W) integers 0..255, or 0..65535 for instance ids.
        kind: one of ``KINDS``.
        void: further values that are void.
        min_pixels: a class on fewer pixels makes no region; not for instance ids.

    Raises:
        ValueError: labels outside of that range.
    """
    labels = _narrow(labels, np.uint16 if kind == 'instance' else np.uint8)
    if kind == 'instance':
        return _instance_table(histogram(labels), void)[labels]
    classes = class_table(kind, void=void)
    pixels = np.bincount(classes, weights=histogram(labels), minlength=256)
    regions = np.where(pixels >= min_pixels, np.arange(1, 257), 0)
    regions[VOID] = 0
    return cv2.LUT(labels, regions[classes].astype(np.uint8))


def _narrow(labels: np.ndarray, dtype: type) -> np.ndarray:
    """Labels in the smallest type that holds them."""
    limit = np.iinfo(dtype).max
    if labels.dtype == dtype:
        return labels
    if labels.size and not 0 <= labels.min() <= labels.max() <= limit:
        raise ValueError(
            f'labels from {labels.min()} to {labels.max()}; 0..{limit} are needed (255 = void)'
        )
    return labels.astype(dtype)


def histogram(labels: np.ndarray) -> np.ndarray:
    """Pixels of each possible value; float32, so exact up to 2**24 and never 0 by mistake."""
    values = np.iinfo(labels.dtype).max + 1
    return cv2.calcHist([labels], [0], None, [values], [0, values]).ravel()


def _instance_table(counts: np.ndarray, void: Sequence[int]) -> np.ndarray:
    """Region of every instance id, from the pixels of each id: (len(counts),)."""
    present = np.flatnonzero(counts)
    own = (present >= FIRST_INSTANCE) | np.isin(present, CITYSCAPES_CLASS_IDS)
    own &= ~np.isin(present, list(void))
    table = np.ones(counts.size, np.int32)  # region 1: void, which has an edge like any other
    table[present[own]] = np.arange(2, 2 + np.count_nonzero(own))
    return table
