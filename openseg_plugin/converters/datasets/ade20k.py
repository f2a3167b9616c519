"""ADE20K, the scene parsing benchmark (Zhou et al., 2017).

Raw: ADEChallengeData2016.zip, and release_test.zip for the test images. Labels are kept as they
are: 0 is no class, k is class k - 1 (``reduce_zero_label``).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from openseg_plugin.converters.datasets.core.find import by_stem, find_folder, list_files
from openseg_plugin.converters.datasets.core.images import read_known
from openseg_plugin.converters.datasets.core.pairs import Pairs
from openseg_plugin.converters.datasets.core.plan import Plan, converter
from openseg_plugin.datasets.classes import ADE20K_CLASSES, ADE20K_PALETTE

_FOLDERS = {'train': 'training', 'val': 'validation'}
_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class ADE20KOptions:
    """ADE20K has no options of its own."""


@converter(
    'ade20k', ADE20KOptions, splits=('train', 'val', 'test'), default_splits=('train', 'val')
)
def plan(src: Path, *, options: ADE20KOptions, splits: tuple[str, ...]) -> Plan:
    """ADE20K: the 150 classes of ADEChallengeData2016."""
    make = partial(partial, read_known, last=len(ADE20K_CLASSES), what='ADE20K')
    pairs = Pairs()
    for split in splits:
        if split == 'test':
            folder = find_folder(src, 'testing', needed='unpack release_test.zip there')
            pairs.add(split, by_stem(list_files(folder, ('.jpg',))), None, make)
            continue
        needed = 'unpack ADEChallengeData2016.zip there'
        images = find_folder(src, f'images/{_FOLDERS[split]}', needed=needed)
        labels = find_folder(src, f'annotations/{_FOLDERS[split]}', needed=needed)
        pairs.add(
            split,
            by_stem(list_files(images, ('.jpg',))),
            by_stem(list_files(labels, ('.png',))),
            make,
            skip_unlabelled=True,
        )
    return Plan(
        pairs.samples,
        ADE20K_CLASSES,
        (_BLACK, *ADE20K_PALETTE),
        reduce_zero_label=True,
        notices=tuple(pairs.notices),
    )
