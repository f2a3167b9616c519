"""MODEL of the tools: what a name, a file or a config with a checkpoint says about a network.

A checkpoint of ours holds its config as data; the files of other projects are known by their names
of weights (:mod:`openseg_plugin.converters.checkpoints`); names of the model zoo are downloaded
once. Nothing that a file says is evaluated.
"""

import difflib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from openseg_plugin.config.loading import load_config, merge_options
from openseg_plugin.config.queries import dataset_class, is_pretrained, with_pipelines
from openseg_plugin.converters.checkpoints import as_mmengine_checkpoint, read_checkpoint
from openseg_plugin.converters.checkpoints.keys import require_numbers, weights_of
from openseg_plugin.converters.checkpoints.release import is_hub_folder, pull
from openseg_plugin.converters.checkpoints.sources import convert_match, match
from openseg_plugin.converters.checkpoints.stored_config import (
    STORED_CONFIG,
    as_data,
    stored_config,
)
from openseg_plugin.datasets.base import pair_ids
from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.export.session import exported_file, metadata_in
from openseg_plugin.model_zoo.entries import GET_FOLDER, Entry, entries, find
from openseg_plugin.registry import MODELS
from openseg_plugin.utils.download import check, download
from openseg_plugin.utils.palette import distinct_colors, distinct_names

_OF_NETWORK = ('model', 'data_preprocessor')  # keys of a config
# of a config, to predict: hooks, loops and training data may be of packages that are not here
NEEDED = (
    *(
        'model',
        'data_preprocessor',
        'test_dataloader',
        'test_pipeline',
        'tta_model',
        'tta_pipeline',
    ),
    'default_scope',
)
_CONFIG_ENDINGS = ('.py', '.yml', '.yaml', '.json')
_NEEDS_CONFIG = 'give the config too: CONFIG CHECKPOINT'


@dataclass(frozen=True)
class Resolved:
    """A network that was found.

    Attributes:
        name: where its weights are: a file, or a folder for a hub.
        cfg: its config; the model in it is one segmentor.
        weights: names to tensors, for the model of the config.
        dataset_meta: what its checkpoint says about the dataset, such as ``classes``.
    """

    name: str
    cfg: Config
    weights: Mapping[str, Any]
    dataset_meta: Mapping[str, Any]


def resolve(
    model: str,
    checkpoint: str | None = None,
    *,
    options: dict[str, Any] | None = None,
    whole_config: bool = False,
) -> Resolved:
    """Config and weights of a MODEL.

    Args:
        model: a checkpoint with a config inside, a published file, a name of the model zoo, or,
            with ``checkpoint``, a config. Also what ``openseg export`` made, a folder for a hub, or
            ``hf://user/name``.
        checkpoint: weights, also those of other projects, or what ``openseg export`` made of them.
        options: dotted settings to change in the config.
        whole_config: read all that a stored config says, for a test, not what a prediction needs.

    Raises:
        ConfigError: there is no such config, or an option does not fit.
        CheckpointError: there is no such file or name, or it holds no network that is known.
    """
    exported = exported_file(model)
    if exported is not None and checkpoint is not None:
        raise ConfigError(
            f'{model} is an exported file, which has its weights: leave {checkpoint} out'
        )
    keys = None if whole_config else NEEDED
    if exported is not None:
        cfg = _config_in(exported, options, keys, with_model=False)
        return _from_export(exported, cfg, str(exported))
    if checkpoint is not None:
        cfg = load_config(model, options=options)
        exported = exported_file(checkpoint)
        if exported is not None:
            return _from_export(exported, cfg, model)
        checkpoint = weights_file(checkpoint)
        weights, meta = _read(checkpoint)
        return Resolved(checkpoint, _with_model(cfg, model), weights, meta)
    if model.startswith('hf://'):
        model = str(pull(model))
    if os.path.isdir(model) and not is_hub_folder(model):
        raise CheckpointError(f'{model} is a folder: give a checkpoint file, or {_NEEDS_CONFIG}')
    if model.endswith('.py'):
        raise CheckpointError(f'{model} is a config and has no weights: give CONFIG CHECKPOINT')
    if not os.path.exists(model):
        return _from_zoo(model, options)
    return _from_file(model, options, keys)


def _from_export(path: Path, cfg: Config, name: str) -> Resolved:
    """The file with a config, which is that of ``name``."""
    about = metadata_in(path)
    meta = dict(classes=about.classes, palette=about.palette)
    return Resolved(str(path), _with_model(with_exported(cfg, path), name), {}, meta)


def with_exported(cfg: Config, path: Path) -> Config:
    """The config, changed in place: its model is what ``openseg export`` made."""
    cfg.model = dict(type='openseg_plugin.ExportedSegmentor', path=str(path))
    cfg.data_preprocessor = None
    return cfg


def _config_in(
    path: Path,
    options: dict[str, Any] | None,
    keys: Collection[str] | None,
    *,
    with_model: bool = True,
) -> Config:
    """The config in an exported file.

    Its network is not needed to run the file, and may be one that is not installed here.
    """
    config = dict(metadata_in(path).config)
    if not with_model:
        config = {key: value for key, value in config.items() if key not in _OF_NETWORK}
    data = stored_config({'meta': {STORED_CONFIG: config}}, keys=keys)
    if not data or 'test_dataloader' not in data:
        raise CheckpointError(
            f'{path} lacks the config in its metadata, so how images are loaded is unknown: export '
            'it again with "openseg export"'
        )
    cfg = Config(data)
    merge_options(cfg, options, str(path))
    return cfg


def _from_file(
    path: str, options: dict[str, Any] | None, keys: Collection[str] | None = NEEDED
) -> Resolved:
    content = _content(path)
    data = stored_config(content, keys=keys)
    if data is not None and 'model' in data:
        cfg = Config(data)
        merge_options(cfg, options, path)
        return Resolved(path, _with_model(cfg, path), *_parts(content))
    weights, meta = _parts(content)
    given = weights_of(weights)
    found = match(given)
    if found is None:
        raise CheckpointError(
            f'{path} holds no config and is no published file that is known here: {_NEEDS_CONFIG}'
        )
    try:
        require_numbers(given)
        conversion = convert_match(given, found)
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error
    if not conversion.config:
        raise CheckpointError(
            f'{path} has the names of openseg_plugin and holds no config: {_NEEDS_CONFIG}'
        )
    if conversion.num_classes is None:
        raise CheckpointError(f'{path} is a backbone alone, which predicts no classes')
    cfg = load_config(conversion.config, options={**conversion.cfg_options, **(options or {})})
    return Resolved(path, _with_model(cfg, path), conversion.state_dict, meta)


def _from_zoo(name: str, options: dict[str, Any] | None) -> Resolved:
    if name not in _names_of_zoo():
        raise CheckpointError(f'{_unknown(name)}; or {_NEEDS_CONFIG}')
    entry = find(name)
    if entry.use != 'test':
        raise CheckpointError(f'{name} of the model zoo is {entry.use}, which predicts no classes')
    cfg = load_config(entry.config, options={**entry.options, **(options or {})})
    path = str(_downloaded(entry))
    weights, meta = _read(path)
    return Resolved(path, _with_model(cfg, name), weights, meta)


def weights_file(weights: str) -> str:
    """Path of weights: a file or folder, a name of the model zoo, or ``hf://user/name``.

    What is of neither kind, such as another address, is given back as it is.

    Raises:
        CheckpointError: they cannot be had.
    """
    if weights.startswith('hf://'):
        return str(pull(weights))
    if '/' in weights or os.path.exists(weights) or weights not in _names_of_zoo():
        return weights
    return str(_downloaded(find(weights)))


def model_config(
    model: str, *, options: dict[str, Any] | None = None, whole_config: bool = True
) -> Config:
    """The config of a MODEL, or a config; no weights of the model zoo are downloaded for it.

    Arguments are those of :func:`resolve`.

    Raises:
        ConfigError: there is no such config, or an option does not fit.
        CheckpointError: there is no such MODEL, or nothing tells its config.
    """
    exported = exported_file(model)
    if exported is not None:  # of the network, not of the file that it became
        return _config_in(exported, options, None if whole_config else NEEDED)
    if not os.path.exists(model) and model in _names_of_zoo():
        entry = find(model)
        return load_config(entry.config, options={**entry.options, **(options or {})})
    is_weights = os.path.isfile(model) and not model.endswith(_CONFIG_ENDINGS)
    if is_weights or is_hub_folder(model) or model.startswith('hf://'):
        return resolve(model, options=options, whole_config=whole_config).cfg
    is_name = '/' not in model and not model.endswith(_CONFIG_ENDINGS)
    if is_name and not os.path.exists(model):
        raise CheckpointError(f'{_unknown(model)}; configs have paths, such as ocr/NAME.py')
    return load_config(model, options=options)


def _names_of_zoo() -> list[str]:
    return [entry.name for entry in entries()]


def what_predicts(resolved: Resolved) -> str:
    """What its config says about predictions, as text: equal texts and weights, equal results."""
    cfg = resolved.cfg
    parts = {key: cfg.get(key) for key in ('model', 'data_preprocessor', 'default_scope')}
    parts |= {key: cfg.get(key) for key in ('tta_model', 'tta_pipeline')}
    for dataset in test_datasets(cfg)[:1]:
        parts |= {key: dataset.get(key) for key in ('type', 'metainfo', 'pipeline')}
    return json.dumps(as_data(parts), sort_keys=True)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _names_of_zoo(), n=3, cutoff=0.4)
    hint = f'near: {", ".join(near)}' if near else 'openseg weights list names all'
    return f'{name} is neither a file nor a name of the model zoo; {hint}'


def cache_folder() -> Path:
    """Where files of the model zoo are kept: ``$OPENSEG_CACHE`` or ``~/.cache/openseg_plugin``."""
    return Path(os.environ.get('OPENSEG_CACHE') or Path.home() / '.cache' / 'openseg_plugin')


def _downloaded(entry: Entry) -> Path:
    """Where the file of an entry is, which is downloaded if it is not there; its hash is compared.

    That is where ``openseg weights get`` puts it by default, else in the cache.
    """
    known = entry.sha256 or entry.sha256_start
    got = GET_FOLDER / entry.name / entry.file
    target = got if got.exists() else cache_folder() / entry.name / entry.file
    if target.exists():
        check(target, known)
    elif entry.address is None:
        raise CheckpointError(
            f'{entry.file} is only behind a link on {entry.page}: download it by hand, as {target}'
        )
    else:
        download(entry.address, target, sha256=known)
    return target


def _content(path: str) -> Mapping[str, Any]:
    if not os.path.exists(path):
        raise CheckpointError(f'checkpoint {path} does not exist')
    return read_checkpoint(path)


def _read(path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return _parts(_content(path))


def _parts(content: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Weights and what is known about the dataset."""
    checkpoint = as_mmengine_checkpoint(content)
    meta = checkpoint.get('meta') or {}
    return checkpoint['state_dict'], meta.get('dataset_meta') or {}


def _with_model(cfg: Config, name: str) -> Config:
    """The config, which has all that a prediction needs.

    Raises:
        ConfigError: it has not.
    """
    for key in ('model', 'test_dataloader'):
        if cfg.get(key) is None:
            raise ConfigError(f'the config of {name} has no {key}: it cannot predict')
    return cfg


def build(resolved: Resolved, *, device: torch.device) -> nn.Module:
    """The segmentor with its weights, in evaluation mode.

    Raises:
        CheckpointError: the weights do not fit.
        ConfigError: it predicts no classes (SegFix).
    """
    init_default_scope(resolved.cfg.get('default_scope', 'mmseg'))
    cfg = resolved.cfg
    if cfg.get('data_preprocessor') is not None:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    without_initial_weights(cfg.model)
    model = MODELS.build(cfg.model)
    if not hasattr(getattr(model, 'decode_head', None), 'num_classes') and not isinstance(
        getattr(model, 'decode_head', None), nn.ModuleList
    ):
        raise ConfigError(
            f'{resolved.name} is a {type(model).__name__}, which predicts no classes: give a '
            'segmentor (offsets of SegFix are predicted by openseg segfix predict)'
        )
    weights = {name: torch.as_tensor(value) for name, value in resolved.weights.items()}
    try:
        model.load_state_dict(weights, strict=True)
    except (CheckpointError, RuntimeError) as error:
        text = ' '.join(str(error).split())
        raise CheckpointError(f'{resolved.name} does not fit the model: {text}') from error
    return model.to(device).eval()


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device; None: the GPU where there is one.

    Raises:
        ConfigError: there is none of this name on this machine.
    """
    try:
        where = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        torch.zeros(1, device=where).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
        count = torch.cuda.device_count()
        there = ', '.join(['cpu', *(f'cuda:{index}' for index in range(count))])
        reason = ' '.join(str(error).split())[:120]
        raise ConfigError(
            f'--device {device} cannot be used on this machine, which has {there} ({reason})'
        ) from error
    return where


def without_initial_weights(model: Any) -> None:
    """Takes out of a config what would load or download weights that are replaced anyway."""
    if isinstance(model, dict):
        if is_pretrained(model.get('init_cfg')):
            model['init_cfg'] = None
        if isinstance(model.get('pretrained'), str):
            model['pretrained'] = None
        for value in model.values():
            without_initial_weights(value)


def test_datasets(cfg: Config) -> list[Any]:
    """Configs of the test datasets that hold a pipeline, behind wrappers."""
    return [dataset for _, dataset in with_pipelines(cfg.test_dataloader.dataset)]


def dataset_meta(resolved: Resolved, num_classes: int) -> dict[str, Any]:
    """``classes``, ``palette`` and ``flip_pairs`` of a network of so many classes.

    What the checkpoint says counts, else what the dataset of the config says; where neither has as
    many classes, they get numbers for names and colors that are made up.
    """
    dataset: Any = next(iter(test_datasets(resolved.cfg)), {})
    metainfo = getattr(dataset_class(dataset), 'METAINFO', {})
    from_config = {**metainfo, **(dataset.get('metainfo') or {})}
    found: dict[str, Any] = {}
    for meta in (resolved.dataset_meta, from_config):
        classes = [str(name) for name in meta.get('classes') or ()]
        if len(classes) != num_classes:
            continue
        found.setdefault('classes', list(distinct_names(classes)))
        palette = meta.get('palette') or ()
        if len(palette) == num_classes:
            found.setdefault('palette', [[int(v) for v in color] for color in palette])
        pairs = meta.get('flip_pairs')
        if pairs:
            found.setdefault('flip_pairs', pair_ids(pairs, classes))
    found.setdefault('classes', [f'class {index}' for index in range(num_classes)])
    found.setdefault('palette', distinct_colors(num_classes))
    found.setdefault('flip_pairs', [])
    return found
