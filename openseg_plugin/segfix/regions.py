"""Kinds of label maps, and the regions whose edges SegFix refines.

What a number in a label file means differs from folder to folder; ``KINDS`` names the four
meanings SegFix knows. Region rules: openseg.pytorch (commit aefc755), the offset generators of
Cityscapes and ADE20K. H, W: size of a map in pixels; void: pixels without a class.

Tells what the numbers of a folder of label maps mean, by the values in them.

The same PNG can hold train ids, Cityscapes label ids, ADE20K ids or instance ids, and nothing in
it says which. Taking one for the other gives a result that looks right and is wrong, so a folder
is inspected before anything is done: which values occur, and on how many pixels.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.segfix import KINDS, MIN_PIXELS
from openseg_plugin.utils.images import read_label

VOID = 255
"""Void in train ids, and in refined Cityscapes label ids."""

CITYSCAPES_CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each of the 19 Cityscapes classes, in train id order."""

NUM_CITYSCAPES_IDS = 34
NUM_ADE20K_CLASSES = 150
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


NUM_CITYSCAPES_CLASSES = len(CITYSCAPES_CLASS_IDS)
VOID_LABEL_IDS = frozenset(range(NUM_CITYSCAPES_IDS)) - frozenset(CITYSCAPES_CLASS_IDS)

_FILES = 32  # spread over the folder; every file is checked again when its turn comes
_MOSTLY = 0.5  # fraction of pixels; label ids of which more are void are train ids


@dataclasses.dataclass(frozen=True)
class InspectedLabels:
    """What label maps hold.

    Attributes:
        pixels: pixels of each value, all maps together, 65536 entries.
        wide: whether any of the files has 16 bits.
    """

    pixels: np.ndarray
    wide: bool

    @property
    def values(self) -> list[int]:
        """The values that occur, ascending, without 255."""
        return [int(value) for value in np.flatnonzero(self.pixels) if value != VOID]

    def fraction(self, values: Iterable[int]) -> float:
        """Fraction of all pixels that have one of ``values``; 255 does not count."""
        total = self.pixels.sum() - self.pixels[VOID]
        return float(self.pixels[list(values)].sum() / total) if total else 0.0

    def inferred_kind(self) -> str | None:
        """The kind that the values speak for; None where they leave it open."""
        values = self.values
        if values and values[-1] >= FIRST_INSTANCE:
            return 'instance'
        if not values or values[-1] >= NUM_CITYSCAPES_IDS:
            return None
        void_fraction = self.fraction(VOID_LABEL_IDS)
        if values[-1] >= NUM_CITYSCAPES_CLASSES:
            return 'cityscapes' if void_fraction <= _MOSTLY else None
        # Label ids have void ids of their own, and no 255 beside them.
        if void_fraction > _MOSTLY or (void_fraction and self.pixels[VOID]):
            return 'train'
        return None


def inspect_labels(files: Sequence[Path]) -> InspectedLabels:
    """Values of up to 32 of the files, evenly spread.

    Raises:
        DataError: one of them cannot be read.
    """
    pixels = np.zeros(1 << 16, np.int64)
    wide = False
    step = max(len(files) / _FILES, 1)
    for index in range(min(len(files), _FILES)):
        label = read_label(files[int(index * step)])
        counts = histogram(label)
        pixels[: counts.size] += counts.astype(np.int64)
        wide |= label.dtype == np.uint16
    return InspectedLabels(pixels, wide)


def check_kind(
    inspected: InspectedLabels,
    kind: str,
    place: Path,
    *,
    num_classes: int | None = None,
    void: Sequence[int] = (),
) -> None:
    """Makes sure that the maps can be of the kind they are said to be.

    Args:
        inspected: what was found in the maps.
        kind: one of ``KINDS``.
        place: their folder, for messages.
        num_classes: for train ids, if known.
        void: further values that are void.

    Raises:
        DataError: they are evidently of another kind.
    """
    inferred = inspected.inferred_kind()
    wrong = _outside(inspected.values, kind, num_classes, void)
    if kind == 'train' and num_classes is None:
        wrong = wrong or (inspected.values if inferred == 'cityscapes' else [])
    elif kind == 'cityscapes' and inferred == 'train':
        wrong = inspected.values
    elif kind == 'ade20k' and inspected.pixels[0] and inspected.pixels[VOID]:
        wrong, inferred = [0, VOID], 'train'
    elif (
        kind == 'instance'
        and not inspected.wide
        and not any(v >= FIRST_INSTANCE for v in inspected.values)
    ):
        wrong = inspected.values
    if not wrong:
        return
    guess = ''
    if inferred and inferred != kind:
        guess = (
            f'; it looks like {inferred} ({KINDS[inferred]}): '
            f'give --kind {inferred} if that is right'
        )
    raise DataError(
        f'{place} is taken as {kind} ({_meaning(kind, num_classes)}), but holds {listed(wrong)}'
        f'{guess}'
    )


def checked(
    label: np.ndarray,
    kind: str,
    path: Path,
    *,
    num_classes: int | None = None,
    void: Sequence[int] = (),
) -> np.ndarray:
    """The map itself, as uint8 unless it holds instance ids.

    Raises:
        DataError: values that are impossible for the kind; names the file and the values.
    """
    if kind == 'instance' or (kind == 'train' and num_classes is None and label.dtype == np.uint8):
        return label
    values = [int(value) for value in np.flatnonzero(histogram(label)) if value != VOID]
    wrong = _outside(values, kind, num_classes, void)
    if wrong:
        raise DataError(
            f'label file {path} holds {listed(wrong)}, which is not possible for {kind} '
            f'({_meaning(kind, num_classes)}): refine the file or give another --kind'
        )
    return label.astype(np.uint8, copy=False)


def listed(values: Sequence[int], limit: int = 8) -> str:
    """'the values 3, 4, 5 ...' for a message."""
    text = ', '.join(str(value) for value in values[:limit])
    return f'the value{"s" * (len(values) > 1)} {text}{" ..." if len(values) > limit else ""}'


def _outside(
    values: Sequence[int], kind: str, num_classes: int | None, void: Sequence[int]
) -> list[int]:
    """The values that the kind does not have."""
    limits = {
        'train': num_classes or VOID,
        'cityscapes': NUM_CITYSCAPES_IDS,
        'ade20k': NUM_ADE20K_CLASSES + 1,
        'instance': 1 << 16,
    }
    return [value for value in values if value >= limits[kind] and value not in void]


def _meaning(kind: str, num_classes: int | None) -> str:
    if kind == 'train' and num_classes is not None:
        return f'class numbers 0..{num_classes - 1}, 255 void'
    return KINDS[kind]
