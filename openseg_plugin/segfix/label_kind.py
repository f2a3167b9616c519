"""Tells what the numbers of a folder of label maps mean, by looking at them.

The same PNG can hold train ids, Cityscapes label ids, ADE20K ids or instance ids, and nothing in
it says which. Taking one for the other gives a result that looks right and is wrong, so a folder
is looked at before anything is done: which values occur, and on how many pixels.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.segfix.regions import (
    CITYSCAPES_CLASS_IDS,
    FIRST_INSTANCE,
    KINDS,
    NUM_ADE20K_CLASSES,
    NUM_CITYSCAPES_IDS,
    VOID,
    histogram,
)
from openseg_plugin.utils.labels import read_label

NUM_CITYSCAPES_CLASSES = len(CITYSCAPES_CLASS_IDS)
VOID_LABEL_IDS = frozenset(range(NUM_CITYSCAPES_IDS)) - frozenset(CITYSCAPES_CLASS_IDS)

_FILES = 32  # spread over the folder; every file is checked again when its turn comes
_MOSTLY = 0.5  # share of pixels; label ids of which more are void are train ids


@dataclasses.dataclass(frozen=True)
class Look:
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

    def share(self, values: Iterable[int]) -> float:
        """Share of all pixels that have one of ``values``; 255 does not count."""
        total = self.pixels.sum() - self.pixels[VOID]
        return float(self.pixels[list(values)].sum() / total) if total else 0.0

    def seems(self) -> str | None:
        """The kind that the values speak for; None where they leave it open."""
        values = self.values
        if values and values[-1] >= FIRST_INSTANCE:
            return 'instance'
        if not values or values[-1] >= NUM_CITYSCAPES_IDS:
            return None
        void_share = self.share(VOID_LABEL_IDS)
        if values[-1] >= NUM_CITYSCAPES_CLASSES:
            return 'cityscapes' if void_share <= _MOSTLY else None
        # Label ids have void ids of their own, and no 255 beside them.
        if void_share > _MOSTLY or (void_share and self.pixels[VOID]):
            return 'train'
        return None


def look_at(files: Sequence[Path]) -> Look:
    """A look at up to 32 of the files, evenly spread.

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
    return Look(pixels, wide)


def check_kind(
    look: Look, kind: str, place: Path, *, num_classes: int | None = None, void: Sequence[int] = ()
) -> None:
    """Makes sure that the maps can be of the kind they are said to be.

    Args:
        look: at the maps.
        kind: one of ``KINDS``.
        place: their folder, for messages.
        num_classes: for train ids, if known.
        void: further values that are void.

    Raises:
        DataError: they are evidently of another kind.
    """
    seems = look.seems()
    wrong = _outside(look.values, kind, num_classes, void)
    if kind == 'train' and num_classes is None:
        wrong = wrong or (look.values if seems == 'cityscapes' else [])
    elif kind == 'cityscapes' and seems == 'train':
        wrong = look.values
    elif kind == 'ade20k' and look.pixels[0] and look.pixels[VOID]:
        wrong, seems = [0, VOID], 'train'
    elif kind == 'instance' and not look.wide and not any(v >= FIRST_INSTANCE for v in look.values):
        wrong = look.values
    if not wrong:
        return
    guess = ''
    if seems and seems != kind:
        guess = f'; it looks like {seems} ({KINDS[seems]}): give --kind {seems} if that is right'
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
            f'({_meaning(kind, num_classes)}): mend the file or give another --kind'
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
