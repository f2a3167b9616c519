"""Weights for other people: without the state of a training, and folders for a model hub.

:func:`push` and :func:`pull` carry such folders to and from the Hugging Face Hub, or whatever
``$HF_ENDPOINT`` names.

A hub folder holds ``model.safetensors``, ``config.json`` (config, classes and palette as data) and
``README.md``, the model card. :func:`.reader.read_checkpoint` reads such a folder; nothing in it
is ever evaluated.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from openseg_plugin.converters.checkpoints.reader import (
    HUB_CONFIG,
    HUB_WEIGHTS,
    write_checkpoint,
)
from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG, as_data, from_data
from openseg_plugin.errors import CheckpointError, DependencyError
from openseg_plugin.utils.files import write_text

# where trainers keep averaged weights beside the last ones; mmengine's EMAHook, and ours, put the
# averaged ones under ``state_dict`` itself
_AVERAGED = ('state_dict_ema', 'model_ema', 'ema')
_HASH_DIGITS = 8
_HUB_NAME = re.compile(r'[\w.-]+', re.ASCII)


def release_weights(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint with averaged weights as its weights where there are any, and nothing else.

    Args:
        checkpoint: of this package, of mmengine, or of a trainer that keeps averages beside.
    """
    chosen = {key: checkpoint[key] for key in ('state_dict', 'model') if key in checkpoint}
    for key in _AVERAGED:
        if isinstance(checkpoint.get(key), Mapping):
            chosen = {'state_dict': checkpoint[key]}
    if not chosen:
        return dict(checkpoint)
    return {'meta': checkpoint.get('meta', {}), **chosen}


def with_hash_in_name(path: Path) -> Path:
    """Renames ``x.pth`` to ``x-1a2b3c4d.pth``, the first digits of its SHA-256; the new path."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_DIGITS]
    target = path.with_name(f'{path.stem}-{found}{path.suffix}')
    os.replace(path, target)
    return target


def write_hub_folder(
    folder: Path,
    weights: Mapping[str, Any],
    trained: Mapping[str, Any],
    *,
    license: str | None = None,
) -> None:
    """Write weights, config and model card to ``folder``.

    Args:
        folder: made if it is not there.
        weights: ``state_dict`` and ``meta`` to publish.
        trained: the checkpoint they come from, for the metrics in its log.
        license: of the weights, for the card.

    Raises:
        CheckpointError: the folder holds something else, or cannot be written.
    """
    strange = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if folder.is_file() or (strange and HUB_CONFIG not in strange):
        raise CheckpointError(
            f'{folder} holds other files ({", ".join(strange[:3]) or "it is a file"}): give the '
            'name of a new folder'
        )
    meta = as_data(weights.get('meta') or {})
    # a person who opens the file, or a program, finds the classes where others have them
    classes = _classes(meta)
    description = {
        'library_name': 'openseg_plugin',
        'id2label': {str(k): name for k, name in enumerate(classes)},
        'meta': meta,
    }
    write_checkpoint({'state_dict': weights['state_dict'], 'meta': meta}, folder / HUB_WEIGHTS)
    write_text(str(folder / HUB_CONFIG), json.dumps(description, indent=1) + '\n')
    card = model_card(folder.name, meta, classes, _metrics(trained), license)
    write_text(str(folder / 'README.md'), card)


def is_hub_folder(path: str | Path) -> bool:
    """Whether it is a folder as :func:`write_hub_folder` makes it."""
    return (Path(path) / HUB_WEIGHTS).is_file()


def pull(name: str, to: Path | None = None) -> Path:
    """Folder with a model of a hub; downloaded once, and only weights, config and card.

    Args:
        name: ``user/name`` or ``hf://user/name``, with ``@revision`` where it is not the newest.
        to: folder for it; None: huggingface_hub's cache.

    Raises:
        DependencyError: huggingface_hub is not installed.
        CheckpointError: there is no such model, or it cannot be had.
    """
    hub = _require_hub()
    repo, revision = _repository(name)
    try:
        folder = hub.snapshot_download(
            repo,
            revision=revision,
            local_dir=to,
            allow_patterns=[HUB_WEIGHTS, HUB_CONFIG, 'README.md'],
            endpoint=os.environ.get('HF_ENDPOINT'),
        )
    except Exception as error:  # of the network, of the hub, of the disk: each has its own
        raise CheckpointError(f'{name} cannot be had from the hub: {_short(error)}') from error
    if not is_hub_folder(folder):
        raise CheckpointError(
            f'{name} has no {HUB_WEIGHTS}, the only weights that are read from a hub: its authors '
            'make one with "openseg weights convert CKPT DIR --format hub"'
        )
    return Path(folder)


def push(folder: Path, name: str, *, private: bool = False) -> str:
    """Upload a folder of :func:`write_hub_folder`; returns its address.

    Args:
        folder: see above.
        name: ``user/name`` or ``hf://user/name``; made if it is not there.
        private: only you see it.

    Raises:
        DependencyError: huggingface_hub is not installed.
        CheckpointError: the folder is no such folder, or the hub does not take it.
    """
    if not is_hub_folder(folder):
        raise CheckpointError(
            f'{folder} has no {HUB_WEIGHTS}: make it with "openseg weights convert CKPT {folder} '
            '--format hub"'
        )
    repo, revision = _repository(name)
    api = _require_hub().HfApi(endpoint=os.environ.get('HF_ENDPOINT'))
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            revision=revision,
            allow_patterns=[HUB_WEIGHTS, HUB_CONFIG, 'README.md'],
            commit_message='Weights, config and model card',
        )
    except Exception as error:  # of the network or of the hub
        raise CheckpointError(f'{name} was not pushed: {_short(error)}') from error
    return f'{api.endpoint}/{repo}'


def _repository(name: str) -> tuple[str, str | None]:
    repo, _, revision = name.removeprefix('hf://').partition('@')
    parts = repo.split('/')
    if len(parts) != 2 or not all(_HUB_NAME.fullmatch(part) for part in parts):
        raise CheckpointError(f'{name} is no name of a hub: give hf://user/name')
    return repo, revision or None


def _require_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise DependencyError(
            'huggingface_hub is needed for hf:// but not installed: pip install '
            '"openseg_plugin[hub]"'
        ) from error
    return huggingface_hub


def _short(error: Exception) -> str:
    text = ' '.join(str(error).split())[:300]
    return text or type(error).__name__


def model_card(
    name: str,
    meta: Mapping[str, Any],
    classes: Iterable[str],
    metrics: Mapping[str, float],
    license: str | None,
) -> str:
    """The card in markdown, with the facts that hubs read in front."""
    config = from_data(meta.get(STORED_CONFIG) or {})
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    lines = [
        '---',
        'library_name: openseg_plugin',
        'pipeline_tag: image-segmentation',
        f'license: {license or "unknown"}',
        'tags: [semantic-segmentation, mmsegmentation]',
        '---',
        f'# {name}',
        '',
        f'Semantic segmentation: {_network(config, meta)}.',
        '',
        '## Use',
        '',
        '```bash',
        'pip install "openseg_plugin[lite,hub]"',
        f'openseg predict hf://USER/{name} image.jpg --out predictions',
        '```',
        '```python',
        'import openseg_plugin',
        f"model = openseg_plugin.load('hf://USER/{name}')",
        "labels = model.predict('image.jpg').labels",
        '```',
        'USER is whose model it is on the hub; a folder that was downloaded is given by its path. '
        'The config is data inside the files; loading them runs no code from them.',
        '',
        '## Data and metrics',
        '',
        f'Dataset: {_last(dataset.get("type")) or "unknown"}.',
    ]
    lines += [f'- {key}: {value:.2f}' for key, value in metrics.items()] or ['No metrics stored.']
    lines += ['', '## Classes', '', ', '.join(classes) or 'Those of the dataset.', '']
    lines += ['## License', '', license or 'Not stated: ask the authors of the weights.', '']
    return '\n'.join(lines)


def _network(config: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    model = config.get('model') or {}
    parts = [model, model.get('backbone') or {}, model.get('decode_head') or {}]
    names = [_last(part.get('type')) for part in parts if isinstance(part, Mapping)]
    return ', '.join(filter(None, names)) or str(meta.get('source') or 'unknown network')


def _last(name: Any) -> str:
    return str(name or '').rpartition('.')[2]


def _classes(meta: Mapping[str, Any]) -> list[str]:
    data = from_data(meta)
    config = data.get(STORED_CONFIG) or {}
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    for place in (data.get('dataset_meta'), data, dataset.get('metainfo')):
        found = place.get('classes') or place.get('CLASSES') if isinstance(place, Mapping) else None
        if found:
            return [str(name) for name in found]
    return []


def _metrics(checkpoint: Mapping[str, Any]) -> dict[str, float]:
    """Last validation metrics in the log of the training."""
    hub = checkpoint.get('message_hub')
    scalars = hub.get('log_scalars') if isinstance(hub, Mapping) else None
    found = {}
    for name, history in (scalars or {}).items():
        if str(name).startswith('val/') and hasattr(history, 'data') and 'time' not in str(name):
            values = history.data[0]
            if len(values):
                found[str(name).removeprefix('val/')] = float(values[-1])
    return found
