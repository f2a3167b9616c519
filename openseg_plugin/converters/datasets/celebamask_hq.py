"""CelebAMask-HQ (Lee et al., 2020): 18 face attributes, 30000 portraits.

Raw: images of 1024 x 1024 pixels, one 0/255 mask of 512 x 512 per attribute, and a table from
image number to CelebA number, which decides the split. Labels stay 512 x 512.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from openseg_plugin.converters.datasets.core.find import (
    find_file,
    find_folder,
    list_files,
    read_lines,
)
from openseg_plugin.converters.datasets.core.images import read_image
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    converter,
    in_split,
    option,
)
from openseg_plugin.datasets.classes import (
    CELEBAMASK_CLASSES,
    CELEBAMASK_FLIP_PAIRS,
    CELEBAMASK_PALETTE,
)
from openseg_plugin.errors import DataError

_TABLE = 'CelebA-HQ-to-CelebA-mapping.txt'
_NEEDED = 'unpack CelebAMask-HQ.zip there'
# First CelebA numbers of val and of test: CelebA's own partition.
_FIRST_VAL, _FIRST_TEST = 162771, 182638
_PER_FOLDER = 2000
_LABEL_SIZE = 512  # pixels; images have twice as many and are made as small before training
_MASK = re.compile(r'(\d+)_(.+)\.png')


@dataclass(frozen=True)
class CelebAMaskOptions:
    """Options of the CelebAMask-HQ converter."""

    all_labels: bool = option(
        False, 'also CelebAMask-HQ-mask/<number>.png, numbered as the release'
    )


def paint(masks: tuple[tuple[int, Path], ...]) -> np.ndarray:
    """Label map from the masks of an image: (H, W) uint8.

    Args:
        masks: (class, file) in painting order; later ones lie over earlier ones.

    Raises:
        DataError: a mask cannot be read or has another size.
    """
    label: np.ndarray | None = None
    for number, path in masks:
        values = read_image(path)
        mask = values if values.ndim == 2 else values[..., 0]
        if label is None:
            label = np.zeros(mask.shape, np.uint8)
        if mask.shape != label.shape:
            raise DataError(
                f'{path} is {mask.shape[1]}x{mask.shape[0]} pixels, other masks of the image are '
                f'{label.shape[1]}x{label.shape[0]}'
            )
        label[mask != 0] = number
    assert label is not None, 'an image without masks is a problem of its sample'
    return label


def split_of(celeba_number: int) -> str:
    """Split of an image by its number in CelebA."""
    if celeba_number < _FIRST_VAL:
        return 'train'
    return 'val' if celeba_number < _FIRST_TEST else 'test'


@converter('celebamask_hq', CelebAMaskOptions, splits=('train', 'val', 'test'))
def plan(src: Path, *, options: CelebAMaskOptions, splits: tuple[str, ...]) -> Plan:
    """CelebAMask-HQ: 18 face attributes and background; numbered anew within each split."""
    images = find_folder(src, 'CelebA-HQ-img', needed=_NEEDED)
    masks, strangers = _find_masks(find_folder(src, 'CelebAMask-HQ-mask-anno', needed=_NEEDED))
    samples = [
        Sample(splits[0], path.name, problem=f'{path} is not named <number>_<attribute>.png')
        for path in strangers
    ]
    order = {}
    numbers: dict[str, int] = defaultdict(int)
    for image, celeba in _read_table(find_file(src, _TABLE, needed=_NEEDED)):
        split = split_of(celeba)
        number = numbers[split]
        numbers[split] += 1
        if split not in splits:
            continue
        order[f'{split}/{number}'] = image
        path = images / f'{image}.jpg'
        samples.append(_sample(split, number, image, path, masks[image], options))
    texts = {'split.json': json.dumps(order, indent=1) + '\n'}
    return Plan(
        samples,
        CELEBAMASK_CLASSES,
        CELEBAMASK_PALETTE,
        ignore_index=None,
        flip_pairs=CELEBAMASK_FLIP_PAIRS,
        texts=texts,
        facts={'label_size': [_LABEL_SIZE, _LABEL_SIZE]},
    )


def _sample(
    split: str,
    number: int,
    image: int,
    path: Path,
    masks: dict[str, Path],
    options: CelebAMaskOptions,
) -> Sample:
    name = path.name
    if not path.is_file():
        return Sample(split, name, problem=f'image {path} is missing')
    unknown = sorted(set(masks) - set(CELEBAMASK_CLASSES))
    if unknown:
        return Sample(split, name, problem=f'{masks[unknown[0]]}: there is no class {unknown[0]}')
    order = tuple((k, masks[c]) for k, c in enumerate(CELEBAMASK_CLASSES) if c in masks)
    if not order:
        folder = f'CelebAMask-HQ-mask-anno/{image // _PER_FOLDER}'
        return Sample(split, name, problem=f'{path} has no masks in {folder}')
    draws = [RenderTask(in_split(split, 'label', f'{number}.png'), partial(paint, order))]
    if options.all_labels:
        draws.append(RenderTask(f'CelebAMask-HQ-mask/{image}.png', _same, of_label=True))
    places = (CopyTask(path, in_split(split, 'image', f'{number}.jpg')),)
    return Sample(
        split, name, tuple(mask for _, mask in order), places, tuple(draws), same_size=False
    )


def _same(label: np.ndarray) -> np.ndarray:
    return label


def _find_masks(root: Path) -> tuple[dict[int, dict[str, Path]], list[Path]]:
    """Image number -> attribute -> file; and files whose names say neither."""
    strangers: list[Path] = []
    found: dict[int, dict[str, Path]] = defaultdict(dict)
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()] or [root]
    for folder in folders:
        for path in list_files(folder, ('.png',)):
            match = _MASK.fullmatch(path.name)
            if match is None:
                strangers.append(path)
                continue
            found[int(match[1])][match[2]] = path
    return found, strangers


def _read_table(path: Path) -> list[tuple[int, int]]:
    """(number of the image, number in CelebA), sorted by the first; a header line is skipped."""
    rows = []
    for number, line in read_lines(path):
        words = line.split()
        if not words or (number == 1 and not words[0].isdigit()):
            continue
        if len(words) < 2 or not (words[0].isdigit() and words[1].isdigit()):
            raise DataError(f'{path}, line {number}: {line!r} does not start with two numbers')
        rows.append((int(words[0]), int(words[1])))
    return sorted(rows)
