"""The containers that weights come in: torch's two formats, plain pickles, safetensors.

torch zip (since 1.6): ``<name>/data.pkl`` plus one entry ``<name>/data/<key>`` per storage.
torch legacy: five pickles (magic number, version, machine, object, storage keys), then for every
key a count (int64) and the raw elements.
Both are read here rather than by ``torch.load`` so that every torch version reads the same files
and none can be led to run code by them (:mod:`.unpickler`).
"""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import torch

from openseg_plugin.converters.checkpoints.unpickler import RestrictedUnpickler

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001


class ContainerError(Exception):
    """The file is not what its first bytes promise; the text completes "<file> ..."."""


def _byteswapped(raw: bytearray, itemsize: int) -> bytearray:
    swapped = bytearray(len(raw))
    for place in range(itemsize):
        swapped[place::itemsize] = raw[itemsize - 1 - place :: itemsize]
    return swapped


def _typed(raw: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """1-D uint8 bytes as elements of ``dtype`` (None: as they are)."""
    return raw if dtype in (None, torch.uint8) else raw.view(dtype)


def _itemsize(dtype: torch.dtype | None) -> int:
    return 1 if dtype is None else torch.empty((), dtype=dtype).element_size()


def _bytes_tensor(raw: bytearray) -> torch.Tensor:
    return torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)


def read_zip(path: str) -> Any:
    """The object of a torch zip file."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        roots = [name[: -len('data.pkl')] for name in names if name.endswith('/data.pkl')]
        if not roots or f'{roots[0]}constants.pkl' in names:
            kind = 'a TorchScript program' if roots else 'a zip archive without torch weights'
            raise ContainerError(f'is {kind}, not a checkpoint')
        root = roots[0]
        order = f'{root}byteorder'
        is_big = order in names and archive.read(order) == b'big'
        storages: dict[str, torch.Tensor] = {}

        def load_storage(saved_id: tuple) -> torch.Tensor:
            kind, storage_type, key, _location, count = saved_id
            if kind != 'storage':
                raise pickle.UnpicklingError(f'unknown reference {kind!r}')
            if key not in storages:
                entry = archive.getinfo(f'{root}data/{key}')
                itemsize = _itemsize(storage_type.dtype)
                if entry.file_size != count * itemsize:
                    raise ContainerError(f'is damaged: the size of its entry {key} is wrong')
                raw = bytearray(entry.file_size)
                with archive.open(entry) as stream:
                    stream.readinto(raw)
                    stream.read()  # to the end, where zipfile compares the checksum
                storages[key] = _bytes_tensor(_byteswapped(raw, itemsize) if is_big else raw)
            return _typed(storages[key], storage_type.dtype)

        with archive.open(f'{root}data.pkl') as stream:
            return RestrictedUnpickler(stream, load_storage=load_storage).load()


def _read_exactly(file: BinaryIO, view: memoryview | bytearray) -> None:
    view = memoryview(view)
    while view:
        count = file.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]


def read_legacy(file: BinaryIO) -> Any:
    """The object of a torch legacy file; ``file`` stands behind the magic number."""
    if RestrictedUnpickler(file).load() != LEGACY_VERSION:
        raise ContainerError('has a torch format version that nobody wrote')
    machine = RestrictedUnpickler(file).load()
    is_big = not machine.get('little_endian', True)
    size = os.fstat(file.fileno()).st_size
    storages: dict[str, tuple[bytearray, torch.Tensor, int]] = {}

    def load_storage(saved_id: tuple) -> torch.Tensor:
        kind, storage_type, key, _location, count, view = saved_id
        if kind != 'storage':
            raise pickle.UnpicklingError(f'unknown reference {kind!r}')
        itemsize = _itemsize(storage_type.dtype)
        if key not in storages:
            if count * itemsize > size:
                raise EOFError
            raw = bytearray(count * itemsize)
            storages[key] = raw, _bytes_tensor(raw), itemsize
        elements = _typed(storages[key][1], storage_type.dtype)
        return elements if view is None else elements[view[1] : view[1] + view[2]]

    result = RestrictedUnpickler(file, load_storage=load_storage).load()
    for key in RestrictedUnpickler(file).load():
        raw, _, itemsize = storages[key]
        count = bytearray(8)
        _read_exactly(file, count)
        if struct.unpack('<q', count)[0] * itemsize != len(raw):
            raise ContainerError(f'is damaged: the size of its storage {key} is wrong')
        _read_exactly(file, raw)
        if is_big:
            raw[:] = _byteswapped(raw, itemsize)
    return result


def is_legacy_magic(first: Any) -> bool:
    """Whether a file whose first pickle this is has torch's legacy format."""
    return isinstance(first, int) and first == LEGACY_MAGIC


def read_pickle(path: str) -> Any:
    """The object of a torch legacy file or of a plain pickle (numpy arrays)."""
    with open(path, 'rb') as file:
        first = RestrictedUnpickler(file).load()
        if is_legacy_magic(first):
            return read_legacy(file)
        return first


def read_safetensors(path: str) -> dict[str, Any]:
    """``state_dict`` and whatever :func:`safetensors_bytes` kept beside it."""
    from safetensors import safe_open

    with safe_open(path, framework='pt', device='cpu') as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    extra = {}
    for key, text in metadata.items():
        try:
            extra[key] = json.loads(text)
        except ValueError:  # written by another program: plain text
            extra[key] = text
    extra.pop('format', None)
    return {**extra, 'state_dict': tensors}


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays as JSON has them.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f'{type(value).__name__} is not plain data')


def safetensors_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    """Safetensors file of a checkpoint; its other entries become JSON strings of the header.

    Raises:
        ContainerError: when an entry is neither tensors nor JSON.
    """
    from safetensors.torch import save

    is_wrapped = isinstance(checkpoint.get('state_dict'), Mapping)
    weights = checkpoint['state_dict'] if is_wrapped else checkpoint
    tensors = {}
    for name, value in weights.items():
        tensor = torch.as_tensor(value).detach().cpu()
        tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
    metadata = {'format': 'pt'}
    for key, value in checkpoint.items() if is_wrapped else ():
        if key == 'state_dict':
            continue
        try:
            metadata[key] = json.dumps(value, default=_plain)
        except (TypeError, ValueError):
            raise ContainerError(
                f'cannot keep "{key}": safetensors holds tensors and plain text; '
                'leave it out or write a .pth file'
            ) from None
    return save(tensors, metadata=metadata)
