"""``--data``: tests a config on another of the datasets of ``configs/_base_/datasets``.

Published weights often come for several datasets but differ in nothing else; with this one config
serves all of them. A training has learning rates and steps of its own per dataset, so it wants a
config of its own.
"""

import argparse
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from openseg_plugin.config.queries import model_class
from openseg_plugin.errors import ConfigError
from openseg_plugin.paths import configs_root

_TAKEN = ('test_dataloader', 'test_evaluator', 'tta_pipeline', 'num_classes', 'class_weight')


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--data NAME``."""
    parser.add_argument(
        '--data',
        metavar='NAME',
        help='test on this dataset of configs/_base_/datasets, such as ade20k, not on the '
        "config's own",
    )


def set_data(cfg: Config, name: str) -> None:
    """Puts test set, metric, views and classes of the dataset ``name`` in place of cfg's own.

    Args:
        cfg: changed in place; every part of its model that has ``num_classes`` gets the new number.
        name: a file of ``configs/_base_/datasets``, with or without .py.

    Raises:
        ConfigError: there is no such dataset, or the model has no classes that could follow it.
    """
    base = Config.fromfile(_find(name))
    heads = list(_heads(cfg.model))
    if not heads:
        raise ConfigError(f'--data {name}: the model has no num_classes that could follow it')
    for head in heads:
        head['num_classes'] = base.num_classes
        for part in head.values():
            for loss in part if isinstance(part, (list, tuple)) else [part]:
                if isinstance(loss, dict) and 'class_weight' in loss:
                    loss['class_weight'] = base.get('class_weight')
    cfg.update({key: base.get(key) for key in _TAKEN})
    _set_views(cfg, base.get('tta_options', {}))
    cfg.model.get('data_preprocessor', {}).pop('test_cfg', None)
    if base.get('test_padding'):
        cfg.model.data_preprocessor['test_cfg'] = base.test_padding


def _set_views(cfg: Config, options: dict[str, dict]) -> None:
    """Takes along what the dataset says of test-time augmentation, by the kind of its model."""
    if not cfg.get('tta_model'):
        return
    kind = getattr(model_class(cfg.tta_model), '__name__', '')
    if kind == 'MultiScaleFlip':  # the others need theirs
        for key in ('flip', 'size_divisor'):
            cfg.tta_model.pop(key, None)
    cfg.tta_model.update(options.get(kind, {}))


def _find(name: str) -> Path:
    folder = configs_root() / '_base_' / 'datasets'
    path = folder / f'{name.removesuffix(".py")}.py'
    if path.is_file() and path.parent == folder:
        return path
    names = sorted(file.stem for file in folder.glob('*.py'))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f'near: {", ".join(near)}' if near else f'there are {", ".join(names)}'
    raise ConfigError(f'--data {name}: there is no such dataset in {folder}; {hint}')


def _heads(part: Any) -> Iterator[dict]:
    """Every dict in ``part`` that says a number of classes."""
    if isinstance(part, dict):
        if 'num_classes' in part:
            yield part
        for value in part.values():
            yield from _heads(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            yield from _heads(value)
