"""Cityscapes train_extra with labels that a network gave (Tao et al., 2020, section 3.3).

Raw: ``refinement_final/train_extra/<city>/<stem>_leftImg8bit.png`` (label ids), optionally
``..._prob.png`` (probability * 255), with the images of leftImg8bit_trainextra.zip. The rules
for improbable pixels, rare classes and the borders are those of NVIDIA/semantic-segmentation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_plugin.converters.datasets.cityscapes import ids_to_trainids
from openseg_plugin.converters.datasets.core.find import find_folder, find_folders, list_files
from openseg_plugin.converters.datasets.core.images import (
    apply_table,
    check_values,
    voc_color,
)
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    converter,
    in_split,
    option,
)
from openseg_plugin.datasets import classes
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils.images import class_numbers, read_label

_IMAGE = '_leftImg8bit.png'
_PROBABILITY = '_prob.png'
_LAST_ID = max(label.id for label in classes.CITYSCAPES_LABELS)
# What the camera sees apart from the car and the rectified borders; rows and columns of 1024x2048.
_ROWS, _COLUMNS = slice(15, 840), slice(14, 2030)
_FULL_SIZE = (1024, 2048)


@dataclass(frozen=True)
class AutolabelledOptions:
    """Options of the converter for auto-labelled Cityscapes."""

    min_probability: float = option(0.0, 'ignore pixels below it (needs _prob.png files); 0: off')
    union_classes: tuple[int, ...] = option(
        (), 'train ids whose region also takes in that of gtCoarse, such as 14 15 16'
    )
    mask_out: bool = option(False, 'ignore the border and the own car (images of 2048x1024)')
    layout: Literal['openseg', 'paddleseg'] = option(
        'openseg', "DST/coarse/{image,label}, or PaddleSeg's convert_autolabelled/<city>"
    )


@dataclass(frozen=True)
class _Files:
    """Files of one label; the last two only where an option needs them."""

    label: Path
    probability: Path | None
    coarse: Path | None


def refine(
    ids: np.ndarray,
    *,
    probability: np.ndarray | None = None,
    min_probability: float = 0.0,
    coarse: np.ndarray | None = None,
    union_classes: tuple[int, ...] = (),
    mask_out: bool = False,
) -> np.ndarray:
    """Train ids of an auto-labelled map: (H, W) uint8, 255 = ignored.

    Args:
        ids: (H, W) uint8 label ids.
        probability: (H, W) uint8, probability * 255.
        min_probability: pixels below it are ignored, 0..1.
        coarse: (H, W) uint8 label ids of gtCoarse.
        union_classes: train ids; where the map has such a class at all, its region becomes the
            union with that of ``coarse``, in this order.
        mask_out: ignore the borders; only for maps of 1024 x 2048.
    """
    if mask_out:
        kept = np.zeros_like(ids)
        kept[_ROWS, _COLUMNS] = ids[_ROWS, _COLUMNS]
        ids = kept
    table = ids_to_trainids()
    train = apply_table(ids, table)
    coarse_train = None if coarse is None else apply_table(coarse, table)
    for number in sorted(union_classes):
        if coarse_train is not None and (train == number).any():
            train[coarse_train == number] = number
    if probability is not None:
        train[probability / 255.0 < min_probability] = classes.CITYSCAPES_IGNORE
    return train


def read_refined(files: _Files, options: AutolabelledOptions) -> np.ndarray:
    """Train ids of an auto-labelled image: (H, W) uint8, 255 = ignored.

    Raises:
        DataError: a file cannot be read or does not fit the others.
    """
    ids = read_label(files.label)
    if options.layout == 'openseg':
        check_values(ids, last=_LAST_ID, path=files.label, what='Cityscapes')
    if options.mask_out and ids.shape != _FULL_SIZE:
        raise DataError(f'{files.label} is not 2048x1024 pixels: --mask-out has no meaning for it')
    others = []
    for path in (files.probability, files.coarse):
        values = None if path is None else class_numbers(read_label(path), path)
        if values is not None and values.shape != ids.shape:
            raise DataError(f'{path} and {files.label} differ in size')
        others.append(values)
    train = refine(
        ids,
        probability=others[0],
        min_probability=options.min_probability,
        coarse=others[1],
        union_classes=options.union_classes,
        mask_out=options.mask_out,
    )
    if options.layout == 'paddleseg':  # it leaves values that are no label ids as they are
        train[ids > _LAST_ID] = ids[ids > _LAST_ID]
    return train


@converter('cityscapes_autolabelled', AutolabelledOptions, splits=('coarse',))
def plan(src: Path, *, options: AutolabelledOptions, splits: tuple[str, ...]) -> Plan:
    """Cityscapes train_extra with the labels of refinement_final (NVIDIA), as split coarse."""
    _check_options(options)
    labels = find_folder(
        src,
        'refinement_final/train_extra',
        'autolabelled/train_extra',
        needed='unpack refinement_final_v0.zip there',
    )
    roots = find_folders(src, 'leftImg8bit/train_extra')
    coarse = find_folders(src, 'gtCoarse/train_extra') if options.union_classes else []
    samples, without_image = [], []
    for city in sorted(path for path in labels.iterdir() if path.is_dir()):
        for label in list_files(city, (_IMAGE.lower(),)):
            if options.layout == 'paddleseg':
                samples.append(_sample(label, None, coarse, options))
                continue
            image = _first(root / city.name / label.name for root in roots)
            if image is None:
                without_image.append(label.name)
            else:
                samples.append(_sample(label, image, coarse, options))
    notices: tuple[str, ...] = ()
    if without_image:
        notices = (f'{len(without_image)} labels have no image, first {without_image[0]}',)
        if not samples:
            raise DataError(
                f'{src} has no images in leftImg8bit/train_extra/: unpack '
                'leftImg8bit_trainextra.zip there'
            )
    palette = classes.CITYSCAPES_PALETTE
    if options.layout == 'paddleseg':
        palette = tuple(voc_color(i) for i in range(255))
    return Plan(samples, classes.CITYSCAPES_CLASSES, palette, notices=notices)


def _sample(
    label: Path, image: Path | None, coarse_roots: list[Path], options: AutolabelledOptions
) -> Sample:
    city, name = label.parent.name, label.name
    stem = name.removesuffix(_IMAGE)
    probability = coarse = None
    if options.min_probability:
        probability = label.with_name(label.stem + _PROBABILITY)
    if options.union_classes:
        coarse = _first(root / city / f'{stem}_gtCoarse_labelIds.png' for root in coarse_roots)
        if coarse is None:
            problem = f'{stem}_gtCoarse_labelIds.png is missing: unpack gtCoarse.zip there'
            return Sample('coarse', name, problem=problem)
    sources = tuple(path for path in (label, probability, coarse) if path is not None)
    make = partial(read_refined, _Files(label, probability, coarse), options)
    if image is None:
        draws = (RenderTask(f'convert_autolabelled/{city}/{name}', make),)
        return Sample('coarse', name, sources, draws=draws)
    places = (CopyTask(image, in_split('coarse', 'image', name)),)
    return Sample(
        'coarse', name, sources, places, (RenderTask(in_split('coarse', 'label', name), make),)
    )


def _check_options(options: AutolabelledOptions) -> None:
    if not 0 <= options.min_probability <= 1:
        raise ConfigError(f'--min-probability {options.min_probability}: give 0..1')
    wrong = [
        number
        for number in options.union_classes
        if number not in range(len(classes.CITYSCAPES_CLASSES))
    ]
    if wrong:
        raise ConfigError(
            f'--union-classes {wrong[0]}: give train ids 0..{len(classes.CITYSCAPES_CLASSES) - 1}'
        )


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
