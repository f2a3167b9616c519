"""Cityscapes (Cordts et al., 2016): fine and coarse labels.

Raw: ``leftImg8bit/<split>/<city>/*_leftImg8bit.png`` and ``gtFine|gtCoarse/<split>/<city>/*``;
the zips may be unpacked into one folder or into one folder each.
Result: labels are named like their picture. ``--coarse`` takes the labels of train and val from
gtCoarse and turns train_extra into the split ``coarse``; instances of train and val stay fine.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_plugin.converters.datasets.cityscapes_polygons import draw_instances, draw_labels
from openseg_plugin.converters.datasets.core.edges import edge_draws
from openseg_plugin.converters.datasets.core.find import find_folders, list_files
from openseg_plugin.converters.datasets.core.images import read_known
from openseg_plugin.converters.datasets.core.plan import Draw, Place, Plan, Sample, in_split
from openseg_plugin.converters.datasets.core.registry import converter, option
from openseg_plugin.datasets.classes import cityscapes as classes
from openseg_plugin.errors import DataError

_IMAGE = '_leftImg8bit.png'
_RAW_SPLIT = {'coarse': 'train_extra'}


@dataclass(frozen=True)
class CityscapesOptions:
    """Options of the Cityscapes converter."""

    labels: Literal['trainids', 'ids'] = option(
        'trainids', 'label values: 0..18 and 255, or the label ids 0..33 of the release'
    )
    coarse: bool = option(False, 'labels of gtCoarse; also converts train_extra as split coarse')
    instance: bool = option(False, 'also <split>/instance (16 bit)')
    edge_width: tuple[int, ...] = option(
        (), 'also <split>/edge: width of the edges between label ids in pixels, usually 10'
    )
    draw: Literal['auto', 'never', 'always'] = option(
        'auto', 'draw labels from polygons: where labelIds files are missing, never, or always'
    )
    layout: Literal['openseg', 'mmseg'] = option(
        'openseg', "DST/<split>/{image,label}, or mmseg's leftImg8bit and gtFine folders"
    )


@dataclass(frozen=True)
class _Picture:
    """A picture of the release with the folders of its labels."""

    split: str
    image: Path
    city: str
    stem: str


def ids_to_trainids() -> np.ndarray:
    """Table from label id to train id: (256,) uint8; what is no class becomes 255."""
    table = np.full(256, classes.IGNORE, np.uint8)
    for label in classes.LABELS:
        if label.id >= 0:
            table[label.id] = label.train_id
    return table


_TABLE = ids_to_trainids()
_LAST_ID = max(label.id for label in classes.LABELS)


def read_label_ids(path: Path, *, labels: Literal['trainids', 'ids']) -> np.ndarray:
    """Labels of a ``labelIds`` file, (H, W) uint8, as label ids or as train ids.

    Raises:
        DataError: the file cannot be read or holds values that are no label ids.
    """
    table = None if labels == 'ids' else _TABLE
    return read_known(path, last=_LAST_ID, table=table, what='Cityscapes')


def _default_splits(options: CityscapesOptions) -> tuple[str, ...]:
    return ('train', 'val', 'coarse') if options.coarse else ('train', 'val')


@converter(
    'cityscapes',
    CityscapesOptions,
    splits=('train', 'val', 'test', 'coarse'),
    default_splits=_default_splits,
)
def plan(src: Path, *, options: CityscapesOptions, splits: tuple[str, ...]) -> Plan:
    """Cityscapes: fine and coarse labels, instances; from labelIds files or polygons."""
    folders = {kind: find_folders(src, kind) for kind in ('leftImg8bit', 'gtFine', 'gtCoarse')}
    if not folders['leftImg8bit']:
        raise DataError(
            f'{src} has no folder leftImg8bit/: unpack leftImg8bit_trainvaltest.zip there'
        )
    samples = []
    for split in splits:
        pictures = list(_pictures(folders['leftImg8bit'], split))
        if not pictures:
            raise DataError(
                f'{folders["leftImg8bit"][0]}/{_RAW_SPLIT.get(split, split)} has no pictures: '
                'unpack its zip there, or choose other splits with --split'
            )
        samples += [_sample(picture, folders, options) for picture in pictures]
    if options.labels == 'trainids':
        return Plan(samples, classes.CLASSES, classes.PALETTE)
    shown = [label for label in classes.LABELS if label.id >= 0]
    return Plan(samples, tuple(x.name for x in shown), tuple(x.colour for x in shown))


def _pictures(roots: list[Path], split: str) -> Iterator[_Picture]:
    raw_split = _RAW_SPLIT.get(split, split)
    for root in roots:
        if not (root / raw_split).is_dir():
            continue
        for city in sorted(path for path in (root / raw_split).iterdir() if path.is_dir()):
            for image in list_files(city, (_IMAGE.lower(),)):
                yield _Picture(split, image, city.name, image.name.removesuffix(_IMAGE))


def _sample(
    picture: _Picture, folders: dict[str, list[Path]], options: CityscapesOptions
) -> Sample:
    """The files that a picture becomes; a missing label becomes the sample's problem."""
    stock = options.layout == 'mmseg'
    image = picture.image
    raw = f'{_RAW_SPLIT.get(picture.split, picture.split)}/{picture.city}'
    to = (
        f'leftImg8bit/{raw}/{image.name}' if stock else in_split(picture.split, 'image', image.name)
    )
    places, draws, sources = [Place(image, to)], [], []
    try:
        for kind in _label_kinds(picture.split, options):
            to = in_split(picture.split, 'label', image.name)
            if stock:
                suffix = 'labelTrainIds' if options.labels == 'trainids' else 'labelIds'
                to = f'{kind}/{raw}/{picture.stem}_{kind}_{suffix}.png'
            source, make = _find_label(picture, folders[kind], kind, options)
            draws.append(Draw(to, make))
            sources.append(source)
            if not stock:
                make_ids = _find_label(
                    picture, folders[kind], kind, replace(options, labels='ids')
                )[1]
                widths = options.edge_width
                draws += edge_draws(picture.split, image.name, widths, make_ids)
        if options.instance and picture.split != 'test':
            kind = 'gtCoarse' if picture.split == 'coarse' else 'gtFine'
            to = in_split(picture.split, 'instance', image.name)
            if stock:
                to = f'{kind}/{raw}/{picture.stem}_{kind}_instanceIds.png'
            instance = _find_instance(picture, folders[kind], kind, options, to)
            (places if isinstance(instance, Place) else draws).append(instance)
    except DataError as error:
        return Sample(picture.split, image.name, problem=str(error))
    return Sample(picture.split, image.name, tuple(sources), tuple(places), tuple(draws))


def _label_kinds(split: str, options: CityscapesOptions) -> list[str]:
    """Which of gtFine and gtCoarse give labels. Test labels hold no class and are left out."""
    if split == 'coarse':
        return ['gtCoarse']
    if options.layout == 'mmseg':
        return ['gtFine', 'gtCoarse'] if options.coarse and split != 'test' else ['gtFine']
    if split == 'test':
        return []
    return ['gtCoarse'] if options.coarse else ['gtFine']


def _find_label(
    picture: _Picture, roots: list[Path], kind: str, options: CityscapesOptions
) -> tuple[Path, partial]:
    """The file that a label is made from, and how."""
    ids = _annotation(picture, roots, f'{kind}_labelIds.png')
    polygons = _annotation(picture, roots, f'{kind}_polygons.json')
    if ids is not None and options.draw != 'always':
        return ids, partial(read_label_ids, ids, labels=options.labels)
    if polygons is not None and options.draw != 'never':
        return polygons, partial(draw_labels, polygons, options.labels)
    wanted = {'auto': 'labelIds.png or polygons.json', 'never': 'labelIds.png'}
    raise DataError(
        f'{picture.image} has no label: no {picture.stem}_{kind}_'
        f'{wanted.get(options.draw, "polygons.json")} below '
        f'{", ".join(map(str, roots)) or f"a folder {kind}/"}'
    )


def _find_instance(
    picture: _Picture, roots: list[Path], kind: str, options: CityscapesOptions, to: str
) -> Place | Draw:
    ready = _annotation(picture, roots, f'{kind}_instanceIds.png')
    polygons = _annotation(picture, roots, f'{kind}_polygons.json')
    if ready is not None and options.draw != 'always':
        return Place(ready, to)
    if polygons is not None and options.draw != 'never':
        return Draw(to, partial(draw_instances, polygons), kind='instance')
    raise DataError(f'{picture.image} has no {picture.stem}_{kind}_instanceIds.png')


def _annotation(picture: _Picture, roots: list[Path], ending: str) -> Path | None:
    raw = f'{_RAW_SPLIT.get(picture.split, picture.split)}/{picture.city}'
    paths = (root / raw / f'{picture.stem}_{ending}' for root in roots)
    return next((path for path in paths if path.is_file()), None)
