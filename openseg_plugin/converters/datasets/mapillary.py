"""Mapillary Vistas with the 66 labels of v1.1 and v1.2, or the 124 of v2.0 (Neuhold et al., 2017).

Raw: ``training|validation/{images,labels}`` and config.json (v1.1), or ``.../v1.2/labels`` and
config_v1.2.json (release v2.0), or ``.../v2.0/labels`` and config_v2.0.json. Labels are kept, or
those of v1.x become Cityscapes labels so that both sets can be joined.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from openseg_plugin.converters.datasets.cityscapes import ids_to_trainids
from openseg_plugin.converters.datasets.core.find import (
    by_stem,
    find_file,
    find_folder,
    find_folders,
    list_files,
    read_json,
)
from openseg_plugin.converters.datasets.core.images import read_known
from openseg_plugin.converters.datasets.core.pairs import Pairs
from openseg_plugin.converters.datasets.core.plan import Palette, Plan, converter, option
from openseg_plugin.datasets import classes
from openseg_plugin.errors import DataError

_IGNORE = 255
_FOLDERS = {'train': 'training', 'val': 'validation', 'test': 'testing'}
# Parts of a readable name -> Cityscapes label id; the first row that fits counts.
_RULES = (
    (('trafficsign', 'front', 'back'), 20),
    (('onrail',), 31),
    (('cyclist', 'rider'), 25),
    (('pole', 'streetlight'), 17),
    (('curb', 'pedestrianarea'), 8),
    (('crosswalkplain', 'parking', 'bikelane', 'servicelane', 'lanemarking'), 7),
)


@dataclass(frozen=True)
class MapillaryOptions:
    """Options of the Mapillary converter."""

    labels: Literal['ids', 'cityscapes_ids', 'cityscapes_trainids'] = option(
        'ids', 'label values: those of the release, or of Cityscapes, 255 where none fits'
    )
    version: Literal['auto', 'v1.2', 'v2.0'] = option(
        'auto', 'labels of which version: v1.x where they are there, else v2.0'
    )


def to_cityscapes_id(readable: str) -> int:
    """Cityscapes label id for the readable name of a Mapillary label; 255 where none fits."""
    name = _plain(readable)
    for label in classes.CITYSCAPES_LABELS:
        if 0 <= label.train_id < classes.CITYSCAPES_IGNORE and _plain(label.name) == name:
            return label.id
    for parts, number in _RULES:
        if any(part in name for part in parts):
            return number
    return _IGNORE


def read_config(path: Path) -> list[dict[str, Any]]:
    """Labels of a config.json in index order, each with ``readable`` and ``color``.

    Raises:
        DataError: the file is not Mapillary's.
    """
    labels = read_json(path, 'labels')['labels']
    try:
        for label in labels:
            str(label['readable']), [int(v) for v in label['color'][:3]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f'{path} is not the config of Mapillary Vistas: {error}') from error
    return labels


@converter(
    'mapillary', MapillaryOptions, splits=('train', 'val', 'test'), default_splits=('train', 'val')
)
def plan(src: Path, *, options: MapillaryOptions, splits: tuple[str, ...]) -> Plan:
    """Mapillary Vistas: the 66 labels of v1.2, the 124 of v2.0, or those of Cityscapes."""
    needed = 'unpack the Mapillary Vistas zip there'
    version = _version(src, options, splits)
    configs = {'v1.2': ('config_v1.2.json', 'config.json'), 'v2.0': ('config_v2.0.json',)}
    config = read_config(find_file(src, *configs[version], needed=needed))
    if version == 'v2.0' and options.labels != 'ids':
        raise DataError(
            f'{src}: only labels of v1.x are mapped to Cityscapes: give --labels ids, or unpack '
            'the v1.2 labels too'
        )
    table, names, palette = _target(config, options.labels)
    make = partial(
        partial, read_known, last=len(config) - 1, table=table, what='this config of Mapillary'
    )
    pairs = Pairs()
    if version == 'v2.0' and options.version == 'auto':
        pairs.notices.append('labels of v2.0 are taken: those of v1.2 are not there')
    for split in splits:
        raw = _FOLDERS[split]
        images = by_stem(list_files(find_folder(src, f'{raw}/images', needed=needed), ('.jpg',)))
        if split == 'test':
            pairs.add(split, images, None, make)
            continue
        labels = find_folder(src, *_label_folders(version, raw), needed=needed)
        pairs.add(split, images, by_stem(list_files(labels, ('.png',))), make)
    return Plan(pairs.samples, names, palette, notices=tuple(pairs.notices))


def _label_folders(version: str, raw: str) -> tuple[str, ...]:
    return (f'{raw}/v2.0/labels',) if version == 'v2.0' else (f'{raw}/v1.2/labels', f'{raw}/labels')


def _version(src: Path, options: MapillaryOptions, splits: tuple[str, ...]) -> str:
    """The version whose labels are there; v1.2 where both are."""
    if options.version != 'auto':
        return options.version
    for version in ('v1.2', 'v2.0'):
        for split in splits:
            names = _label_folders(version, _FOLDERS[split])
            if any(find_folders(src, name) for name in names):
                return version
    return 'v1.2'


def _target(
    config: list[dict[str, Any]], labels: str
) -> tuple[np.ndarray | None, tuple[str, ...], Palette]:
    """Table from raw values (None: unchanged), class names and colors of what is written."""
    if labels == 'ids':
        readable = tuple(str(label['readable']) for label in config)
        palette = tuple((int(r), int(g), int(b)) for r, g, b in (x['color'][:3] for x in config))
        standard = readable == classes.MAPILLARY_CLASSES
        return None, readable, classes.MAPILLARY_PALETTE if standard else palette
    table = np.full(256, _IGNORE, np.uint8)
    table[: len(config)] = [to_cityscapes_id(label['readable']) for label in config]
    if labels == 'cityscapes_trainids':
        return ids_to_trainids()[table], classes.CITYSCAPES_CLASSES, classes.CITYSCAPES_PALETTE
    shown = [label for label in classes.CITYSCAPES_LABELS if label.id >= 0]
    return table, tuple(x.name for x in shown), tuple(x.color for x in shown)


def _plain(name: str) -> str:
    return name.lower().replace(' ', '').replace('-', '')
