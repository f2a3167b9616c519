"""Weight files in and out: reading never runs code from the file, writing never leaves half a file.

Read: torch (zip and legacy), safetensors, pickled numpy arrays. Written: torch zip, safetensors.
Files of ``paddle.save`` hold names and arrays, and some bookkeeping that is dropped here.
"""

import json
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openseg_plugin.converters.checkpoints.containers import (
    ContainerError,
    is_legacy_magic,
    read_pickle,
    read_safetensors,
    read_zip,
    safetensors_bytes,
)
from openseg_plugin.converters.checkpoints.pickled_objects import (
    ObjectArrayError,
    UnsafeGlobalError,
)
from openseg_plugin.converters.checkpoints.unpickler import OversizedError
from openseg_plugin.errors import CheckpointError
from openseg_plugin.utils.files import TargetError, atomic_write

SAFETENSORS = '.safetensors'
HUB_WEIGHTS, HUB_CONFIG = 'model.safetensors', 'config.json'
_ZIP = b'PK\x03\x04'
_DOWNLOAD_AGAIN = 'download or copy it again'
_NOT_WEIGHTS = (
    (b'<', 'is a web page, not a checkpoint: the download failed; download it again'),
    (b'version https://git-lfs', 'is a Git LFS pointer, not the file itself; run "git lfs pull"'),
    (b'\x1f\x8b', 'is compressed with gzip; unpack it first'),
    (b'7z\xbc\xaf', 'is compressed with 7-Zip; unpack it first'),
    (b'Rar!', 'is a RAR archive; unpack it first'),
)


def read_checkpoint(
    path: str | os.PathLike, *, trust: bool = False, map_location: Any = 'cpu'
) -> Mapping[str, Any]:
    """Contents of a weight file without running code from it.

    Memory and time are bounded by the size of the file, whatever it declares.

    Args:
        path: ``.pth``/``.pt``/``.tar`` of torch (0.3 or newer), ``.safetensors``, a pickle of
            numpy arrays (``.pdparams``), or a hub folder with ``model.safetensors``. The format
            is told from the contents.
        trust: read pickles that name arbitrary functions, which then run. Only for files whose
            origin you trust.
        map_location: where the tensors go, as for ``torch.load``: a device ('meta' reads names
            and shapes alone), a mapping of the file's devices to others, or a function.

    Returns:
        The mapping in the file. A safetensors file gives ``state_dict`` plus its metadata.

    Raises:
        CheckpointError: when the file is missing, is no checkpoint, is damaged, or names anything
            that is not plain data.
    """
    path = Path(path).expanduser()
    if (path / HUB_WEIGHTS).is_file():
        return _read_hub_folder(path, map_location)
    head = _head(path)
    try:
        checkpoint = (_read_trusted if trust else _read)(path, head, map_location)
    except CheckpointError:
        raise
    except ContainerError as error:
        raise CheckpointError(f'{path} {error}') from error
    except UnsafeGlobalError as error:
        if _is_trusted_by_torch(error.name):
            return torch.load(path, map_location=map_location, weights_only=True)
        raise CheckpointError(
            f'{path} asks to run {error.name}, which is more than weights need, so it was refused '
            'and nothing was executed; if you trust where the file comes from, '
            '--trust-checkpoint reads it anyway'
        ) from error
    except (OversizedError, MemoryError) as error:
        raise CheckpointError(
            f'{path} declares far more data than its {path.stat().st_size} bytes hold, so it is '
            f'damaged or made to exhaust the memory; {_DOWNLOAD_AGAIN} from where you trust it'
        ) from error
    except ObjectArrayError as error:
        raise CheckpointError(
            f'{path} holds a numpy array of Python objects; weights are arrays of numbers: '
            'save it again with a numeric dtype'
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError(_damaged(path, head, error)) from error
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(
            f'{path} holds a {type(checkpoint).__name__}, not a mapping of names to weights'
        )
    return checkpoint


def _read_hub_folder(folder: Path, map_location: Any) -> dict[str, Any]:
    """Weights of a hub folder, with the ``meta`` of its ``config.json``."""
    checkpoint = dict(read_checkpoint(folder / HUB_WEIGHTS, map_location=map_location))
    file = folder / HUB_CONFIG
    if not isinstance(checkpoint.get('meta'), Mapping) and file.is_file():
        try:
            description = json.loads(file.read_text(encoding='utf-8'))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f'{file} is no JSON ({error}); {_DOWNLOAD_AGAIN}') from error
        meta = description.get('meta') if isinstance(description, Mapping) else None
        checkpoint['meta'] = meta if isinstance(meta, Mapping) else {}
    return checkpoint


def _is_trusted_by_torch(name: str) -> bool:
    """Whether this process told torch to read the class (``torch.serialization``)."""
    known: list[Any] = getattr(torch.serialization, 'get_safe_globals', list)()
    names = (
        entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'
        for entry in known
    )
    return name in names


def _head(path: Path) -> bytes:
    """First bytes of the file.

    Raises:
        CheckpointError: when it is missing, a directory, empty, or evidently something else.
    """
    if path.is_dir():
        raise CheckpointError(f'{path} is a directory; name a checkpoint file in it')
    try:
        with open(path, 'rb') as file:
            head = file.read(512)
    except FileNotFoundError:
        raise CheckpointError(f'checkpoint {path} does not exist') from None
    except OSError as error:
        raise CheckpointError(f'checkpoint {path} cannot be read: {error.strerror}') from error
    if not head:
        raise CheckpointError(f'{path} is empty; {_DOWNLOAD_AGAIN}')
    if _is_safetensors(head):  # a length of 0x..3c20 would look like a blank and a web page
        return head
    if head[257:262] == b'ustar':
        raise CheckpointError(f'{path} is a tar archive; unpack it first')
    for magic, text in _NOT_WEIGHTS:
        if head.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(magic):
            raise CheckpointError(f'{path} {text}')
    return head


def _is_safetensors(head: bytes) -> bool:
    """Whether the file starts with the length of a JSON header and the header's brace."""
    return len(head) > 8 and head[8:9] == b'{' and int.from_bytes(head[:8], 'little') < 1 << 30


def _read(path: Path, head: bytes, map_location: Any) -> Any:
    if head.startswith(_ZIP):
        return read_zip(str(path), map_location)
    if _is_safetensors(head):
        return read_safetensors(str(path), map_location)
    return read_pickle(str(path), map_location)


def _read_trusted(path: Path, head: bytes, map_location: Any) -> Any:
    if _is_safetensors(head):
        return read_safetensors(str(path), map_location)
    if not head.startswith(_ZIP):
        with open(path, 'rb') as file:
            first = pickle.load(file, encoding='latin1')
        if not is_legacy_magic(first):  # then that was all of it
            return first
    return torch.load(path, map_location=map_location, weights_only=False)


def _damaged(path: Path, head: bytes, error: Exception) -> str:
    is_known = head[:2] in (b'PK', b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')
    if is_known or _is_safetensors(head):
        detail = ' '.join(str(error).split())[:120]
        reason = f'{type(error).__name__}: {detail}' if detail else type(error).__name__
        return f'{path} is truncated or damaged ({reason}); {_DOWNLOAD_AGAIN}'
    return (
        f'{path} is not a checkpoint in a known format (torch .pth, .safetensors, pickled numpy '
        f'arrays); it starts with {head[:8]!r}'
    )


def write_checkpoint(obj: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write ``obj`` to ``path`` so that there is always the old file or the whole new one.

    The bytes go to a temporary file beside it, which is flushed to the disk and then takes the
    name. ``.safetensors`` by suffix, torch zip otherwise.

    Raises:
        CheckpointError: when it cannot be written (disk full, no permission, or an entry that
            safetensors cannot hold); what was there before is intact.
    """
    path = Path(path)
    try:
        with atomic_write(path) as temporary, open(temporary, 'wb') as file:
            if path.suffix == SAFETENSORS:
                file.write(safetensors_bytes(obj))
            else:
                torch.save(obj, file)
    except (OSError, RuntimeError, TargetError) as error:
        raise CheckpointError(_unwritable(path, error)) from error
    except ContainerError as error:
        raise CheckpointError(f'{path} {error}') from error


def _unwritable(path: Path, error: BaseException) -> str:
    while not isinstance(error, OSError) and (cause := error.__cause__ or error.__context__):
        error = cause
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (
        f'{path} could not be written: {reason}; the previous file, if there was one, is intact. '
        'Free some space or choose another folder'
    )


NAME_TABLE = 'StructuredToParameterName@@'  # entry -> Paddle's internal name of it
_OPTIMIZER = re.compile(r'_(velocity|moment[12]|beta[12]_pow_acc|momentum)_\d+$')


def unwrapped(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping without the table of internal names, tensors as arrays; others as they are.

    ``paddle.save`` of anything but a plain state dict writes a tensor as a pair (name, array).

    Raises:
        CheckpointError: it is the state of an optimizer (``.pdopt``), or its keys are no names.
    """
    require_names(checkpoint)
    if any(_OPTIMIZER.search(key) for key in checkpoint):
        raise CheckpointError(
            'the file holds the state of an optimizer (.pdopt): give the .pdparams file beside it'
        )
    if not any(key == NAME_TABLE or _is_pair(value) for key, value in checkpoint.items()):
        return checkpoint
    return {
        key: value[1] if _is_pair(value) else value
        for key, value in checkpoint.items()
        if key != NAME_TABLE
    }


def require_names(checkpoint: Mapping[Any, Any]) -> None:
    """Check that all keys are names.

    Raises:
        CheckpointError: one is not.
    """
    for key in checkpoint:
        if not isinstance(key, str):
            raise CheckpointError(
                f'a mapping of names to arrays is needed, but it has the key {key!r}'
            )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], np.ndarray)
    )
