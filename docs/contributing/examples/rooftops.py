"""Rooftops, an invented dataset: aerial photographs and masks of roofs.

Raw: ``photos/<split>/NAME.jpg`` and ``roofs/<split>/NAME.png`` with 0 for ground, 128 for roof and
255 where nobody looked.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from openseg_plugin.converters.datasets.core.find import by_stem, find_folder, list_files
from openseg_plugin.converters.datasets.core.pairs import Pairs
from openseg_plugin.converters.datasets.core.plan import Plan, converter
from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.errors import DataError
from openseg_plugin.registry import DATASETS

CLASSES = ('ground', 'roof')
PALETTE = ((90, 90, 90), (220, 20, 60))
_VALUES = {0: 0, 128: 1, 255: 255}


@dataclass(frozen=True)
class RooftopsOptions:
    """Rooftops has no options of its own."""


def read_roofs(path: Path) -> np.ndarray:
    """Label map of a mask: (H, W) uint8, 0 ground, 1 roof, 255 ignored.

    Raises:
        DataError: the mask holds another value.
    """
    values = np.asarray(Image.open(path).convert('L'))
    unknown = sorted(set(np.unique(values).tolist()) - _VALUES.keys())
    if unknown:
        raise DataError(f'{path} holds {unknown[0]}, but roofs are 128: is it a mask of Rooftops?')
    table = np.full(256, 255, np.uint8)
    table[list(_VALUES)] = list(_VALUES.values())
    return table[values]


@converter('rooftops', RooftopsOptions, splits=('train', 'val'))
def plan(src: Path, *, options: RooftopsOptions, splits: tuple[str, ...]) -> Plan:
    """Rooftops: aerial photographs, ground and roof."""
    pairs = Pairs()
    for split in splits:
        photos = find_folder(src, f'photos/{split}', needed='unpack rooftops.zip there')
        roofs = find_folder(src, f'roofs/{split}', needed='unpack rooftops.zip there')
        pairs.add(
            split,
            by_stem(list_files(photos, ('.jpg',))),
            by_stem(list_files(roofs, ('.png',))),
            partial(partial, read_roofs),
        )
    return Plan(pairs.samples, CLASSES, PALETTE, notices=tuple(pairs.notices))


@DATASETS.register_module()
class RooftopsDataset(ConvertedDataset):
    """2 classes; ``{train,val}/{image,label}`` as the converter writes them."""

    METAINFO = metainfo(CLASSES, PALETTE)
    HOW_TO_GET = how_to_convert('rooftops')
