"""Reading a config file with clear errors; its flattened text, and how two configs differ.

``--data`` tests a config on another of the datasets of ``configs/_base_/datasets``: published
weights often come for several datasets but differ in nothing else. A training has learning rates
and iterations of its own per dataset, so it wants a config of its own.
"""

import difflib
import json
import os
import pprint
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from openseg_plugin.config.queries import find_hook, model_class
from openseg_plugin.errors import ConfigError
from openseg_plugin.paths import config_path, configs_root
from openseg_plugin.registry import SCOPE

_TAKEN = ('test_dataloader', 'test_evaluator', 'tta_pipeline', 'num_classes', 'class_weight')


def set_data(cfg: Config, name: str) -> None:
    """Puts test set, metric, views and classes of the dataset ``name`` in place of cfg's own.

    Args:
        cfg: changed in place; every part of its model that has ``num_classes`` gets the new number.
        name: a file of ``configs/_base_/datasets``, with or without .py.

    Raises:
        ConfigError: there is no such dataset, or the model has no classes that could follow it.
    """
    base = Config.fromfile(_dataset_config(name))
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


def set_cache(cfg: Config, *, cache: str | None, exact_resample: bool = False) -> None:
    """Puts ``--cache`` and ``--exact-resample`` into a config; it keeps what it says itself.

    Raises:
        ConfigError: there is no such kind of cache.
    """
    from openseg_plugin.datasets.cache import DataCacheHook, folder_of

    if cache is not None:
        folder_of(cache)
    given: dict[str, Any] = dict(cache=cache) if cache is not None else {}
    if exact_resample:
        given['exact_resample'] = True
    hook = find_hook(cfg, DataCacheHook)
    if hook is not None:
        hook.update(given)
    elif given:
        new = dict(type='openseg_plugin.DataCacheHook', **given)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), new]


def _set_views(cfg: Config, options: dict[str, dict]) -> None:
    """Takes along what the dataset says of test-time augmentation, by the kind of its model."""
    if not cfg.get('tta_model'):
        return
    wrapper = model_class(cfg.tta_model)
    if wrapper is model_class({'type': f'{SCOPE}.MultiScaleFlip'}):  # the others need theirs
        for key in ('flip', 'size_divisor'):
            cfg.tta_model.pop(key, None)
    cfg.tta_model.update(options.get(getattr(wrapper, '__name__', ''), {}))


def _dataset_config(name: str) -> Path:
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


class PlainTextConfig(Config):
    """A config whose text is laid out by the standard library: yapf takes a second for it."""

    @property
    def pretty_text(self) -> str:
        """The config as a Python file, which mmengine logs, dumps and puts into checkpoints."""
        return as_text(self) + '\n'


def load_config(
    path: str, *, data: str | None = None, options: dict[str, Any] | None = None
) -> Config:
    """Config file with dotted ``options`` (``--cfg-options``) merged in.

    Args:
        path: a file, or the name of a config of this package such as
            ocr/hrnet48_cityscapes_80k.py.
        data: name of a dataset to test on instead (``--data``).
        options: dotted key -> value.

    Raises:
        ConfigError: no such file (names near ones), a file that cannot be parsed, no such
            dataset, or an option whose dotted key leads through something that is no dict or list.
    """
    found = _find(path)
    try:
        cfg = Config.fromfile(found)
    except ConfigError:
        raise
    except SystemExit as error:  # no success, whatever status it asks for
        raise ConfigError(f'config {found} calls sys.exit: a config only sets names') from error
    except FileNotFoundError as error:
        raise ConfigError(f'config {found} names a base that does not exist: {error}') from error
    except Exception as error:  # the file is the user's program: anything can come out of it
        detail = f'{type(error).__name__}: {error}' if str(error) else type(error).__name__
        raise ConfigError(f'config {found} cannot be read, {detail}') from error
    # mmengine's Config hands attributes that are set on to its values
    object.__setattr__(cfg, '__class__', PlainTextConfig)
    _make_plain(cfg._cfg_dict)
    if data is not None:
        set_data(cfg, data)
    merge_options(cfg, options, found)
    return cfg


def merge_options(cfg: Config, options: dict[str, Any] | None, name: str) -> None:
    """Merges dotted ``options`` (``--cfg-options``) into a config, in place.

    Args:
        cfg: changed.
        options: dotted key -> value; None: nothing.
        name: what the config is called, for the error.

    Raises:
        ConfigError: a dotted key leads through something that is no dict or list.
    """
    if not options:
        return
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(f'--cfg-options does not fit {name}: {error}') from error


def _make_plain(value: Any) -> Any:
    """Text for paths and Python's own for numpy's numbers, in place where something holds them.

    A config must be written out and read again, and what builds of it wants them so.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is tuple:
        return tuple(_make_plain(one) for one in value)
    if isinstance(value, (Mapping, list)):
        part: Any = value
        for key, one in list(part.items() if isinstance(part, Mapping) else enumerate(part)):
            plain = _make_plain(one)
            if plain is not one:
                part[key] = plain
    return value


def default_work_dir(config: str) -> str:
    """``work_dirs/<method>/<name>``, from the last two parts of the config's path.

    The method is part of it because two methods have configs of one name.
    """
    path = Path(config)
    return os.path.join('work_dirs', path.parent.name, path.stem)


def _find(path: str) -> str:
    path = path.removeprefix(f'{SCOPE}::')
    if os.path.isfile(path) and not (_is_dumped(path) and _packaged(path)):
        return path
    if os.path.isdir(path):
        raise ConfigError(
            f'config {path} is a folder: give the path of a .py config in it, or, to train, a '
            'folder that openseg convert-dataset made'
        )
    if found := _packaged(path):
        return found
    near = _near(path)
    if near:
        raise ConfigError(f'config {path} does not exist: did you mean {" or ".join(near)}?')
    if os.path.isabs(path):
        raise ConfigError(f'config {path} does not exist: give the path of a .py config')
    return str(config_path(path))


def _packaged(path: str) -> str | None:
    """The config of this name that comes with the package; None if there is none."""
    if os.path.isabs(path):
        return None
    try:
        return str(config_path(path))
    except ConfigError:
        return None


def _is_dumped(path: str) -> bool:
    """Whether a file is the copy that a run keeps in its work folder."""
    folder = Path(path).parent
    return any(folder.glob('[0-9]*_[0-9]*/vis_data')) or (folder / 'last_checkpoint').is_file()


def _near(path: str, *, number: int = 3) -> list[str]:
    """Configs around ``path`` whose name resembles its name, nearest first."""
    wanted = Path(path)
    folder = wanted.parent if wanted.parent.is_dir() else wanted.parent.parent
    scores = {
        str(file): difflib.SequenceMatcher(None, wanted.name, file.name).ratio()
        for pattern in ('*.py', '*/*.py')
        for file in folder.glob(pattern)
        if '_base_' not in file.parts
    }
    nearest = sorted(scores, key=lambda name: (-scores[name], name))
    return [name for name in nearest[:number] if scores[name] > 0.8]


def as_plain(value: Any) -> Any:
    """Dicts, lists, tuples and leaves of a config, without mmengine's own classes."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(as_plain(one) for one in value)
    return value


def as_text(cfg: Config) -> str:
    """The config with all bases merged, one ``key = value`` after the other."""
    return '\n'.join(
        f'{key} = {pprint.pformat(value, width=100, sort_dicts=False)}'
        for key, value in as_plain(cfg.to_dict()).items()
    )


def as_json(cfg: Config) -> str:
    """The config as JSON; tuples become lists, what JSON does not know its text."""
    return json.dumps(as_plain(cfg.to_dict()), indent=1, default=str)


def differences(one: Config, other: Config) -> list[tuple[str, Any, Any]]:
    """(dotted key, value in one, value in other) wherever they differ; None: not there."""
    first, second = (dict(_leaves(as_plain(cfg.to_dict()))) for cfg in (one, other))
    keys = dict.fromkeys([*first, *second])
    return [
        (key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)
    ]


def _leaves(value: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted key of every leaf; lists of dicts count as dicts with numbers for keys."""
    if isinstance(value, dict) and value:
        items: Any = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(one, dict) for one in value):
        items = enumerate(value)
    else:
        yield prefix, value
        return
    for key, one in items:
        yield from _leaves(one, f'{prefix}.{key}' if prefix else str(key))
