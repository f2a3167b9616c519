"""Cityscapes (Cordts et al., 2016): fine and coarse labels.

Raw: ``leftImg8bit/<split>/<city>/*_leftImg8bit.png`` and ``gtFine|gtCoarse/<split>/<city>/*``;
the zips may be unpacked into one folder or into one folder each.
Result: labels are named like their frame. ``--coarse`` takes the labels of train and val from
gtCoarse and turns train_extra into the split ``coarse``; instances of train and val stay fine.

Drawing Cityscapes labels from polygon files, as the release's own tools do.

Source: rules of cityscapesscripts 2.2 (json2labelImg, json2instanceImg). Objects are drawn in
file order, later over earlier, filled including their outline.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from openseg_plugin.converters.datasets.core.find import decode_text, find_folders, list_files
from openseg_plugin.converters.datasets.core.images import read_known
from openseg_plugin.converters.datasets.core.pairs import edge_draws
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    converter,
    in_split,
    option,
)
from openseg_plugin.converters.datasets.core.shapes import clip_polygon
from openseg_plugin.datasets import classes
from openseg_plugin.datasets.classes import CITYSCAPES_IGNORE, CITYSCAPES_LABELS, CityscapesLabel
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS

_BY_NAME = {label.name: label for label in CITYSCAPES_LABELS}
_GROUP = 'group'
_PER_CLASS = 1000  # instance value = id * 1000 + running number


def draw_labels(path: Path, encoding: Literal['ids', 'trainids']) -> np.ndarray:
    """Label map of a polygon file: (H, W) uint8 label ids or train ids (255 = ignored).

    Raises:
        DataError: the file is not a polygon file or has an unknown label name.
    """
    content = read_polygons(path)
    background = 0 if encoding == 'ids' else CITYSCAPES_IGNORE
    canvas = Image.new('L', _size(content), background)
    draw = ImageDraw.Draw(canvas)
    for label, _, points in _objects(content, path):
        _fill(draw, points, label.id if encoding == 'ids' else label.train_id)
    return np.asarray(canvas)


def draw_colors(path: Path) -> np.ndarray:
    """Color map of a polygon file: (H, W, 4) uint8 RGBA, as the release's ``color`` files."""
    content = read_polygons(path)
    canvas = Image.new('RGBA', _size(content), (0, 0, 0, 255))
    draw = ImageDraw.Draw(canvas)
    for label, _, points in _objects(content, path):
        _fill(draw, points, label.color)
    return np.asarray(canvas)


def draw_instances(path: Path) -> np.ndarray:
    """Instance map of a polygon file: (H, W) uint16.

    Single objects of a class with instances get id * 1000 + number in file order; groups of them
    and all other classes keep the id.

    Raises:
        DataError: as :func:`draw_labels`.
    """
    content = read_polygons(path)
    canvas = Image.new('I', _size(content), 0)
    draw = ImageDraw.Draw(canvas)
    numbers: Counter[int] = Counter()
    for label, is_group, points in _objects(content, path):
        value = label.id
        if label.has_instances and not is_group:
            value = label.id * _PER_CLASS + numbers[label.id]
            numbers[label.id] += 1
        _fill(draw, points, value)
    return np.asarray(canvas).astype(np.uint16)


def read_polygons(path: Path) -> dict[str, Any]:
    """Content of a polygon file.

    Raises:
        DataError: the file is missing, not JSON, or not a polygon file.
    """
    try:
        content = json.loads(decode_text(path.read_bytes(), path))
        height, width = content['imgHeight'], content['imgWidth']
        if not (isinstance(content['objects'], list) and height > 0 and width > 0):
            raise TypeError('imgHeight, imgWidth and objects have wrong values')
    except FileNotFoundError as error:
        raise DataError(f'polygon file {path} is missing') from error
    except KeyError as error:
        raise DataError(f'{path} is not a Cityscapes polygon file: it has no {error}') from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f'{path} is not a Cityscapes polygon file: {error}') from error
    return content


def _objects(
    content: dict[str, Any], path: Path
) -> Iterator[tuple[CityscapesLabel, bool, list[tuple[float, float]]]]:
    """(label, is a group, points) of every object that is drawn, in file order."""
    for number, item in enumerate(content['objects']):
        try:
            name, polygon, deleted = item['label'], item['polygon'], item.get('deleted', 0)
            if deleted:
                continue
            points = [(x, y) for x, y in polygon]
            if not np.isfinite(np.asarray(points, float)).all():
                raise ValueError('its polygon has a coordinate that is no number')
            is_group = name not in _BY_NAME and name.endswith(_GROUP)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f'{path}: object {number} has no label and polygon: {error}') from error
        label = _BY_NAME.get(name.removesuffix(_GROUP) if is_group else name)
        if label is None:
            raise DataError(f'{path}: object {number} has the unknown label {name!r}')
        if not points:
            raise DataError(f'{path}: object {number} ({name}) has a polygon without points')
        if label.id >= 0:
            yield label, is_group, points


def _fill(
    draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], value: int | tuple[int, ...]
) -> None:
    if len(points) == 1:
        draw.point(points, fill=value)
        return
    corners = clip_polygon(points, draw.im.size[::-1])
    if len(corners) > 1:
        draw.polygon(corners, fill=value)


def _size(content: dict[str, Any]) -> tuple[int, int]:
    return content['imgWidth'], content['imgHeight']


_IMAGE = '_leftImg8bit'
_TRAIN_IDS = 'labelTrainIds.png'
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
class _Frame:
    """An image of the release with the folders of its labels."""

    split: str
    image: Path
    city: str
    stem: str


def ids_to_trainids() -> np.ndarray:
    """Table from label id to train id: (256,) uint8; what is no class becomes 255."""
    table = np.full(256, classes.CITYSCAPES_IGNORE, np.uint8)
    for label in classes.CITYSCAPES_LABELS:
        if label.id >= 0:
            table[label.id] = label.train_id
    return table


_TABLE = ids_to_trainids()
_LAST_ID = max(label.id for label in classes.CITYSCAPES_LABELS)


def read_label_ids(path: Path, *, labels: Literal['trainids', 'ids']) -> np.ndarray:
    """Labels of a ``labelIds`` file, (H, W) uint8, as label ids or as train ids.

    Raises:
        DataError: the file cannot be read or holds values that are no label ids.
    """
    table = None if labels == 'ids' else _TABLE
    return read_known(path, last=_LAST_ID, table=table, what='Cityscapes')


def read_train_ids(path: Path) -> np.ndarray:
    """Labels of a ``labelTrainIds`` file as they are: (H, W) uint8.

    Raises:
        DataError: the file cannot be read or holds values that are no train ids.
    """
    return read_known(path, last=len(classes.CITYSCAPES_CLASSES) - 1, what='Cityscapes (train ids)')


def _note_train_ids(samples: list[Sample]) -> tuple[str, ...]:
    found = [p for sample in samples for p in sample.sources if p.name.endswith(_TRAIN_IDS)]
    if not found:
        return ()
    return (
        f'{len(found)} labels are labelTrainIds.png files, taken as they are, because there are no '
        f'labelIds.png or polygons.json; the first is {found[0]}',
    )


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
        images = list(_frames(folders['leftImg8bit'], split))
        if not images:
            raise DataError(
                f'{folders["leftImg8bit"][0]}/{_RAW_SPLIT.get(split, split)} has no images: '
                'unpack its zip there, or choose other splits with --split'
            )
        samples += [_sample(frame, folders, options) for frame in images]
    if options.labels == 'trainids':
        notices = _note_train_ids(samples)
        return Plan(
            samples, classes.CITYSCAPES_CLASSES, classes.CITYSCAPES_PALETTE, notices=notices
        )
    shown = [label for label in classes.CITYSCAPES_LABELS if label.id >= 0]
    return Plan(samples, tuple(x.name for x in shown), tuple(x.color for x in shown))


def _frames(roots: list[Path], split: str) -> Iterator[_Frame]:
    raw_split = _RAW_SPLIT.get(split, split)
    for root in roots:
        if not (root / raw_split).is_dir():
            continue
        for city in sorted(path for path in (root / raw_split).iterdir() if path.is_dir()):
            for path in list_files(city, tuple(f'{_IMAGE}{e}'.lower() for e in IMAGE_ENDINGS)):
                yield _Frame(split, path, city.name, path.stem.removesuffix(_IMAGE))


def _sample(frame: _Frame, folders: dict[str, list[Path]], options: CityscapesOptions) -> Sample:
    """The files that an image becomes; a missing label becomes the sample's problem."""
    stock = options.layout == 'mmseg'
    path = frame.image
    raw = f'{_RAW_SPLIT.get(frame.split, frame.split)}/{frame.city}'
    to = f'leftImg8bit/{raw}/{path.name}' if stock else in_split(frame.split, 'image', path.name)
    places, sources = [CopyTask(path, to)], []
    draws: list[RenderTask] = []
    try:
        for kind in _label_kinds(frame.split, options):
            to = in_split(frame.split, 'label', f'{path.stem}.png')
            if stock:
                suffix = 'labelTrainIds' if options.labels == 'trainids' else 'labelIds'
                to = f'{kind}/{raw}/{frame.stem}_{kind}_{suffix}.png'
            source, make = _find_label(frame, folders[kind], kind, options)
            draws.append(RenderTask(to, make))
            sources.append(source)
            if not stock:
                make_ids, widths = make, options.edge_width
                if widths and not source.name.endswith(_TRAIN_IDS):
                    by_id = replace(options, labels='ids')
                    _, make_ids = _find_label(frame, folders[kind], kind, by_id)
                draws += edge_draws(frame.split, f'{path.stem}.png', widths, make_ids)
        if options.instance and frame.split != 'test':
            kind = 'gtCoarse' if frame.split == 'coarse' else 'gtFine'
            to = in_split(frame.split, 'instance', f'{path.stem}.png')
            if stock:
                to = f'{kind}/{raw}/{frame.stem}_{kind}_instanceIds.png'
            instance = _find_instance(frame, folders[kind], kind, options, to)
            if isinstance(instance, CopyTask):
                places.append(instance)
            else:
                draws.append(instance)
    except DataError as error:
        return Sample(frame.split, path.name, problem=str(error))
    return Sample(frame.split, path.name, tuple(sources), tuple(places), tuple(draws))


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
    frame: _Frame, roots: list[Path], kind: str, options: CityscapesOptions
) -> tuple[Path, partial]:
    """The file that a label is made from, and how."""
    ids = _annotation(frame, roots, f'{kind}_labelIds.png')
    train_ids = _annotation(frame, roots, f'{kind}_{_TRAIN_IDS}')
    polygons = _annotation(frame, roots, f'{kind}_polygons.json')
    if ids is not None and options.draw != 'always':
        return ids, partial(read_label_ids, ids, labels=options.labels)
    if polygons is not None and options.draw != 'never':
        return polygons, partial(draw_labels, polygons, options.labels)
    if train_ids is not None and options.draw != 'always' and options.labels == 'trainids':
        return train_ids, partial(read_train_ids, train_ids)
    wanted = {'auto': 'labelIds.png or polygons.json', 'never': 'labelIds.png'}
    raise DataError(
        f'{frame.image} has no label: no {frame.stem}_{kind}_'
        f'{wanted.get(options.draw, "polygons.json")} below '
        f'{", ".join(map(str, roots)) or f"a folder {kind}/"}'
    )


def _find_instance(
    frame: _Frame, roots: list[Path], kind: str, options: CityscapesOptions, to: str
) -> CopyTask | RenderTask:
    ready = _annotation(frame, roots, f'{kind}_instanceIds.png')
    polygons = _annotation(frame, roots, f'{kind}_polygons.json')
    if ready is not None and options.draw != 'always':
        return CopyTask(ready, to)
    if polygons is not None and options.draw != 'never':
        return RenderTask(to, partial(draw_instances, polygons), kind='instance')
    raise DataError(f'{frame.image} has no {frame.stem}_{kind}_instanceIds.png')


def _annotation(frame: _Frame, roots: list[Path], ending: str) -> Path | None:
    raw = f'{_RAW_SPLIT.get(frame.split, frame.split)}/{frame.city}'
    paths = (root / raw / f'{frame.stem}_{ending}' for root in roots)
    return next((path for path in paths if path.is_file()), None)
