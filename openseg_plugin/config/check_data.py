"""Loaders and datasets of a config, checked before they are built."""

import difflib
import inspect
import logging
import numbers
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader, Sampler

from openseg_plugin.config import queries
from openseg_plugin.config.options import (
    FLAGS,
    MOST,
    TEXTS,
    WHOLE_FROM_0,
    WHOLE_FROM_1,
    is_list_of,
    is_number,
    is_whole,
    need,
)
from openseg_plugin.errors import ConfigError

# those of the loader, and what mmengine takes out before
_LOADER_OPTIONS = {*inspect.signature(DataLoader).parameters, 'num_batch_per_epoch', '_scope_'}
# the same for every dataset
_DATASET_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(('img_suffix', 'seg_map_suffix', 'ann_file'), (TEXTS, 'text')),
    'data_root': ((*TEXTS, type(None)), 'a folder'),
    'data_prefix': ((Mapping,), 'a dict of folders'),
    'reduce_zero_label': ((*FLAGS, type(None)), 'True or False'),
    'indices': ((int, list, tuple, type(None)), 'a number or a list of numbers'),
    'pipeline': ((list, tuple, type(None)), 'a list of transforms'),
    'metainfo': ((Mapping, type(None)), 'a dict'),
}


def _check_dataset(dataset: Any, place: str) -> None:
    need(isinstance(dataset, Mapping), place, dataset, 'a dict')
    for name, (types, needed) in _DATASET_TYPES.items():
        if name in dataset:
            need(isinstance(dataset[name], types), f'{place}.{name}', dataset[name], needed)
    for name, value in (dataset.get('data_prefix') or {}).items():
        is_folder = isinstance(value, (*TEXTS, type(None)))
        need(is_folder, f'{place}.data_prefix.{name}', value, 'a folder')
    known = _prefixes(queries.dataset_class(dataset))
    for name in (n for n in dataset.get('data_prefix') or {} if n not in known):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
            raise ConfigError(f'{place}.data_prefix.{name} is not read: did you mean {near[0]}?')
    indices = dataset.get('indices')
    needed = 'so many of the first samples, of the last below 0, or a list of numbers'
    need(not is_whole(indices) or indices != 0, f'{place}.indices', indices, needed)
    if isinstance(indices, (list, tuple)):
        is_right = all(isinstance(k, numbers.Integral) for k in indices)
        need(is_right, f'{place}.indices', indices, 'a number or a list of numbers')
    info = dataset.get('metainfo') or {}
    classes, palette = info.get('classes'), info.get('palette')
    key = f'{place}.metainfo'
    is_names = classes is None or isinstance(classes, str) or is_list_of(classes, str)
    need(is_names and classes not in ((), []), f'{key}.classes', classes, 'a list of names')
    is_colors = palette is None or isinstance(palette, str)
    if not is_colors and isinstance(palette, (list, tuple)):
        is_colors = all(_is_color(color) for color in palette)
    need(is_colors, f'{key}.palette', palette, 'a list of colors [r, g, b] of numbers 0 to 255')
    if isinstance(classes, (list, tuple)) and palette and len(palette) != len(classes):
        raise ConfigError(
            f'{key} has {len(classes)} classes and {len(palette)} colors in its '
            'palette: give one color [r, g, b] per class, or no palette'
        )


def note_repeated_classes(cfg: Config) -> None:
    """A warning where a dataset gives two classes one name."""
    for key, loader in queries.loaders(cfg):
        for place, dataset in queries.datasets(loader['dataset'], f'{key}.dataset'):
            classes = (dataset.get('metainfo') or {}).get('classes')
            if isinstance(classes, (list, tuple)) and len(set(classes)) < len(classes):
                twice = next(name for name in classes if classes.count(name) > 1)
                print_log(
                    f'{place}.metainfo.classes names {twice!r} twice: these are several classes, '
                    'which tables call by name and class id; give every class its own name if '
                    'that is a mistake',
                    'current',
                    logging.WARNING,
                )
                return  # the other splits have the same classes


def _prefixes(kind: Any) -> set[str]:
    """Entries of ``data_prefix`` that a dataset of ours or of mmseg reads; empty: who knows."""
    if getattr(kind, '__module__', '').partition('.')[0] not in ('openseg_plugin', 'mmseg'):
        return set()
    for one in (one for one in inspect.getmro(kind) if '__init__' in vars(one)):
        option = inspect.signature(vars(one)['__init__']).parameters.get('data_prefix')
        if option is not None and isinstance(option.default, Mapping):
            return set(option.default)
    return set()


def _is_color(value: Any) -> bool:
    is_triple = isinstance(value, (list, tuple)) and len(value) == 3
    return is_triple and all(is_whole(v, 0) and v <= 255 for v in value)


def check_loader(loader: Mapping, key: str) -> None:
    """Makes sure of a loader, its sampler and its datasets.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    for name, least, needed in (
        ('batch_size', 1, WHOLE_FROM_1),
        ('num_workers', 0, WHOLE_FROM_0),
        ('prefetch_factor', 1, WHOLE_FROM_1),
    ):
        value = loader.get(name)
        is_right = value is None or (is_whole(value, least) and value <= MOST)
        if name == 'batch_size' and value is None and key.startswith('train'):
            is_right = 'batch_size' not in loader
        need(is_right, f'{key}.{name}', value, f'{needed}, at most {MOST}')
    if loader.get('num_workers', 0) == 0:
        for name in ('persistent_workers', 'prefetch_factor'):
            if loader.get(name):
                raise ConfigError(
                    f'{key}.num_workers is 0 and {key}.{name} is {loader[name]!r}, which needs '
                    f'loading processes: give {key}.{name}='
                    f'{False if name == "persistent_workers" else None} too'
                )
    need(
        isinstance(loader.get('dataset'), Mapping),
        f'{key}.dataset',
        loader.get('dataset'),
        'a dict',
    )
    # None, if it is given, is PyTorch's own order
    sampler = loader.get('sampler')
    is_right = isinstance(sampler, Mapping | Sampler) or (sampler is None and 'sampler' in loader)
    need(is_right, f'{key}.sampler', sampler, 'a dict')
    collate = loader.get('collate_fn')
    is_right = collate is None or isinstance(collate, Mapping) or callable(collate)
    if isinstance(collate, Mapping):
        is_right = callable(queries.resolve(collate, FUNCTIONS))
    need(is_right, f'{key}.collate_fn', collate, 'a dict with the type of a function')
    _check_loader_options(loader, key)
    for place, dataset in queries.datasets(loader['dataset'], f'{key}.dataset'):
        _check_dataset(dataset, place)


def _check_loader_options(loader: Mapping, key: str) -> None:
    for name in ('drop_last', 'pin_memory', 'persistent_workers', 'shuffle'):
        value = loader.get(name, False)
        is_right = isinstance(value, FLAGS) or (value is None and name == 'shuffle')
        need(is_right, f'{key}.{name}', value, 'True or False')
    timeout = loader.get('timeout', 0)
    need(is_number(timeout) and timeout >= 0, f'{key}.timeout', timeout, 'seconds, 0 or more')
    batches = loader.get('num_batch_per_epoch')
    needed = f'{WHOLE_FROM_1}, or None'
    need(batches is None or is_whole(batches, 1), f'{key}.num_batch_per_epoch', batches, needed)
    if 'num_workers' in loader:
        need(loader['num_workers'] is not None, f'{key}.num_workers', None, WHOLE_FROM_0)
    sampler = loader.get('sampler')
    if sampler is not None:
        is_part = not isinstance(sampler, Mapping) or 'type' in sampler  # others are built already
        need(is_part, f'{key}.sampler', sampler, 'a dict with a type')
        if loader.get('shuffle'):
            raise ConfigError(
                f'{key} has a sampler and shuffle=True, and the sampler decides about the order: '
                f'leave {key}.shuffle out, and give {key}.sampler.shuffle=True'
            )
    batch_sampler = loader.get('batch_sampler')
    if batch_sampler is not None:
        is_part = isinstance(batch_sampler, Mapping) and 'type' in batch_sampler
        need(is_part, f'{key}.batch_sampler', batch_sampler, 'a dict with a type')
    unknown = [name for name in loader if name not in _LOADER_OPTIONS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], _LOADER_OPTIONS, n=1)
        hint = f': did you mean {near[0]}?' if near else ': see torch.utils.data.DataLoader'
        raise ConfigError(f'{key} gives an option that does not exist, {unknown[0]}{hint}')
