"""PASCAL VOC 2012 segmentation with the extra masks of SBD (Hariharan et al., 2011).

Raw: VOCtrainval_11-May-2012.tar and benchmark.tgz, or the PNG files of both that many projects
share as ``SegmentationClassAug``. The split train is "trainaug": VOC train and all of SBD that is
not in VOC val; images of VOC keep VOC's masks, which have a 255 border.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_plugin.converters.datasets.core.find import (
    by_stem,
    find_folder,
    find_folders,
    list_files,
    read_matlab,
    read_names,
)
from openseg_plugin.converters.datasets.core.images import check_values, read_known
from openseg_plugin.converters.datasets.core.pairs import Pairs
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    converter,
    option,
)
from openseg_plugin.datasets.classes import VOC_CLASSES, VOC_PALETTE
from openseg_plugin.errors import DataError
from openseg_plugin.utils.images import class_numbers

_LISTS = 'ImageSets/Segmentation'
_HOME = 'VOCdevkit/VOC2012'


@dataclass(frozen=True)
class VOCOptions:
    """Options of the PASCAL VOC converter."""

    sbd: bool = option(True, 'add the masks of SBD (benchmark_RELEASE) to train')
    layout: Literal['openseg', 'mmseg'] = option(
        'openseg', "DST/<split>/{image,label}, or mmseg's VOCdevkit with SegmentationClassAug"
    )


@dataclass(frozen=True)
class _Release:
    """What was found of the release: folders, name lists and label files by name."""

    voc: Path
    lists: dict[str, list[str]]
    images: dict[str, Path]
    masks: dict[str, Path]
    extra: dict[str, Path]
    extra_names: list[str]

    def aug(self) -> list[str]:
        """Names that only SBD labels, sorted."""
        taken = {*self.lists['train'], *self.lists['val']}
        return sorted(name for name in set(self.extra_names) - taken)


def read_sbd(path: Path) -> np.ndarray:
    """Label map of an SBD file: (H, W) uint8, 0..20."""
    label = class_numbers(read_matlab(path, 'GTcls', 'Segmentation'), path)
    check_values(label, last=len(VOC_CLASSES) - 1, path=path, what='PASCAL VOC')
    return label


@converter(
    'pascal_voc',
    VOCOptions,
    splits=('train', 'val', 'trainval', 'test'),
    default_splits=('train', 'val', 'trainval'),
)
def plan(src: Path, *, options: VOCOptions, splits: tuple[str, ...]) -> Plan:
    """PASCAL VOC 2012: 20 classes and background; train includes SBD (trainaug, 10582 images)."""
    release = _find(src, options)
    if options.layout == 'mmseg':
        return _plan_mmseg(release)
    labels = {**release.extra, **release.masks}
    names = {
        'train': sorted({*release.lists['train'], *release.aug()}),
        'val': release.lists['val'],
        'trainval': release.lists['trainval'],
    }
    pairs = Pairs()
    for split in splits:
        if split == 'test':
            names_of_test = read_names(release.voc / _LISTS / 'test.txt')
            pairs.add(split, release.images, None, _make, names=names_of_test)
            continue
        found = {name: labels[name] for name in names[split] if name in labels}
        pairs.add(split, release.images, found, _make, names=names[split])
    return Plan(pairs.samples, VOC_CLASSES, VOC_PALETTE, notices=tuple(pairs.notices))


def _find(src: Path, options: VOCOptions) -> _Release:
    needed = 'unpack VOCtrainval_11-May-2012.tar there'
    folders = ('VOC2012/SegmentationClass', 'SegmentationClass', 'SegmentationClassAug')
    voc = find_folder(src, *folders, needed=needed).parent
    masks = voc / 'SegmentationClass'
    lists = {name: read_names(voc / _LISTS / f'{name}.txt') for name in ('train', 'val')}
    both = voc / _LISTS / 'trainval.txt'
    lists['trainval'] = (
        read_names(both) if both.is_file() else sorted({*lists['train'], *lists['val']})
    )
    extra, extra_names = _find_extra(src, voc) if options.sbd else ({}, [])
    return _Release(
        voc=voc,
        lists=lists,
        images=by_stem(list_files(voc / 'JPEGImages', ('.jpg',))),
        masks=by_stem(list_files(masks, ('.png',))) if masks.is_dir() else {},
        extra=extra,
        extra_names=extra_names,
    )


def _find_extra(src: Path, voc: Path) -> tuple[dict[str, Path], list[str]]:
    """Name -> label file of the augmented set, and its names: SBD's, or SegmentationClassAug.

    Raises:
        DataError: there is neither.
    """
    found = find_folders(src, 'dataset/cls') or find_folders(src, 'cls')
    if found:
        names = [
            n for name in ('train', 'val') for n in read_names(found[0].parent / f'{name}.txt')
        ]
        return by_stem(list_files(found[0], ('.mat',))), names
    folders = find_folders(src, 'SegmentationClassAug')
    if not folders:
        raise DataError(
            f'{src} has no folder benchmark_RELEASE/dataset/cls/ and no SegmentationClassAug/: '
            'unpack benchmark.tgz of SBD there, or give --no-sbd to train on the 1464 images of '
            'VOC alone'
        )
    extra = by_stem(list_files(folders[0], ('.png',)))
    listed = voc / _LISTS / 'trainaug.txt'
    return extra, read_names(listed) if listed.is_file() else sorted(extra)


def _make(path: Path) -> Callable[[], np.ndarray]:
    if path.suffix == '.mat':
        return partial(read_sbd, path)
    return partial(read_known, path, last=len(VOC_CLASSES) - 1, what='PASCAL VOC')


def _plan_mmseg(release: _Release) -> Plan:
    """mmseg's tree: SBD's masks in SegmentationClassAug, lists train, val, aug and trainaug."""
    samples = []
    for name in sorted({*release.images, *release.extra}):
        split = 'val' if name in release.lists['val'] else 'train'
        if name not in release.images:
            samples.append(Sample(split, name, problem=f'image {name}.jpg is missing'))
            continue
        places = [CopyTask(release.images[name], f'{_HOME}/JPEGImages/{name}.jpg')]
        if name in release.masks:
            mask = release.masks[name]
            places.append(CopyTask(mask, f'{_HOME}/SegmentationClass/{name}.png'))
        draws: tuple[RenderTask, ...] = ()
        sources: tuple[Path, ...] = ()
        if name in release.extra:
            sources = (release.extra[name],)
            to = f'{_HOME}/SegmentationClassAug/{name}.png'
            draws = (RenderTask(to, partial(read_sbd, release.extra[name])),)
        samples.append(Sample(split, name, sources, tuple(places), draws))
    aug = release.aug()
    lists = {
        **release.lists,
        'aug': aug,
        'trainaug': sorted({*release.lists['train'], *aug}),
    }
    texts = {f'{_HOME}/{_LISTS}/{k}.txt': '\n'.join(v) + '\n' for k, v in lists.items()}
    return Plan(samples, VOC_CLASSES, VOC_PALETTE, texts=texts)
