"""The containers that weights come in: torch's two formats, plain pickles, safetensors.

torch zip (since 1.6): ``<name>/data.pkl`` plus one entry ``<name>/data/<key>`` per storage.
torch legacy: five pickles (magic number, version, machine, object, storage keys), then for every
key a count (int64) and the raw elements.
Both are read here rather than by ``torch.load`` so that every torch version reads the same files
and none can be led to run code by them (:mod:`.unpickler`).
"""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any, BinaryIO

import numpy as np
import torch

from openseg_plugin.converters.checkpoints.pickled_objects import (
    QuantizedStorage,
    StorageType,
    is_quantized,
    itemsize,
)
from openseg_plugin.converters.checkpoints.unpickler import (
    Budget,
    RestrictedUnpickler,
    finished,
    size_of,
)
from openseg_plugin.utils.files import parse_json

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001


class ContainerError(Exception):
    """The file is not what its first bytes promise; the text completes "<file> ..."."""


def _byteswapped(raw: bytearray, itemsize: int) -> bytearray:
    swapped = bytearray(len(raw))
    for place in range(itemsize):
        swapped[place::itemsize] = raw[itemsize - 1 - place :: itemsize]
    return swapped


def _typed(raw: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor | QuantizedStorage:
    """1-D uint8 bytes as elements of ``dtype`` (None: as they are)."""
    if dtype is not None and is_quantized(dtype):
        return QuantizedStorage(raw, dtype)
    return raw if dtype in (None, torch.uint8) else raw.view(dtype)


def _bytes_tensor(raw: bytearray) -> torch.Tensor:
    return torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)


def _place(raw: torch.Tensor, location: str, map_location: Any) -> torch.Tensor:
    """Bytes on the device that ``map_location`` says, as ``torch.load`` understands it.

    ``None`` means the device that the file names, or the CPU where that is not there.
    """
    if callable(map_location):
        moved = map_location(raw.untyped_storage(), location)
        if moved is None:
            return _place(raw, location, None)
        storage = moved if isinstance(moved, torch.UntypedStorage) else moved.untyped()
        return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    device = map_location
    if isinstance(map_location, Mapping):
        device = map_location.get(location, location)
    if device is None:
        device = torch.device(location)
        if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
            device = torch.device('cpu')
    return raw.to(device)


class _Zip:
    """A torch zip file: stored entries that lie whole within the file."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self.names = archive.namelist()
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ContainerError('is damaged: its entries are larger than the file')

    def entry(self, name: str) -> zipfile.ZipInfo:
        """The entry of this name.

        Raises:
            ContainerError: there is none, or it is compressed, which torch never does.
        """
        try:
            entry = self._archive.getinfo(name)
        except KeyError:
            raise ContainerError(f'is damaged: it has no entry {name}') from None
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ContainerError(
                f'has the compressed entry {name}; torch stores its entries as they are: '
                'unpack it and pack it with "zip -0"'
            )
        return entry

    def read(self, name: str) -> bytearray:
        """All bytes of an entry.

        Raises:
            ContainerError: it is compressed or cut short.
        """
        entry = self.entry(name)
        raw = bytearray(entry.file_size)
        with self._archive.open(entry) as stream:
            try:
                _read_exactly(stream, raw)
            except EOFError:
                raise ContainerError(f'is truncated: its entry {name} is cut short') from None
            stream.read(1)  # to the end, where zipfile compares the checksum
        return raw


def read_zip(path: str, map_location: Any = 'cpu') -> Any:
    """The object of a torch zip file."""
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        entries = _Zip(archive, size)
        names = entries.names
        roots = [name[: -len('data.pkl')] for name in names if name.endswith('/data.pkl')]
        if not roots or f'{roots[0]}constants.pkl' in names:
            kind = 'a TorchScript program' if roots else 'a zip archive without torch weights'
            raise ContainerError(f'is {kind}, not a checkpoint')
        root = roots[0]
        order = f'{root}byteorder'
        is_big = order in names and _byte_order(entries, order) == 'big'
        storages: dict[str, torch.Tensor] = {}

        def load_storage(saved_id: tuple[Any, ...]) -> torch.Tensor | QuantizedStorage:
            kind, storage_type, key, location, count = saved_id
            if kind != 'storage':
                raise pickle.UnpicklingError(f'unknown reference {kind!r}')
            dtype, name = _dtype(storage_type), f'{root}data/{key}'
            if key not in storages:
                length = entries.entry(name).file_size
                if length != count * itemsize(dtype):
                    raise ContainerError(f'is damaged: the size of its entry {key} is wrong')
                if _is_meta(map_location):
                    storages[key] = torch.empty(length, dtype=torch.uint8, device='meta')
                else:
                    raw = entries.read(name)
                    raw = _byteswapped(raw, itemsize(dtype)) if is_big else raw
                    storages[key] = _place(_bytes_tensor(raw), location, map_location)
            return _typed(storages[key], dtype)

        stream = io.BytesIO(entries.read(f'{root}data.pkl'))
        return RestrictedUnpickler(stream, load_storage=load_storage, budget=Budget(size)).load()


def _byte_order(entries: _Zip, name: str) -> str:
    order = b'' if entries.entry(name).file_size > len(b'little') else bytes(entries.read(name))
    if order not in (b'big', b'little'):
        raise ContainerError('is damaged: its byte order is neither little nor big')
    return order.decode()


def _dtype(storage_type: Any) -> torch.dtype | None:
    if not isinstance(storage_type, StorageType):
        raise pickle.UnpicklingError('a storage without a type')
    return storage_type.dtype


def _is_meta(map_location: Any) -> bool:
    return isinstance(map_location, str | torch.device) and str(map_location) == 'meta'


def _read_exactly(file: IO[bytes], buffer: bytearray) -> None:
    view = memoryview(buffer)
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]  # typeshed leaves it out of IO
        if not count:
            raise EOFError
        view = view[count:]


class _LegacyStorages:
    """Storages of a legacy file, whose elements come only after the object that refers to them."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._raw: dict[str, tuple[bytearray, str, torch.dtype | None]] = {}
        self._placed: dict[str, torch.Tensor] = {}
        self._filled: set[str] = set()

    def load(self, saved_id: tuple[Any, ...]) -> torch.Tensor | QuantizedStorage:
        """The storage that a persistent id stands for, zeros until :meth:`fill`."""
        kind, storage_type, key, location, count, view = saved_id
        if kind != 'storage':
            raise pickle.UnpicklingError(f'unknown reference {kind!r}')
        dtype = _dtype(storage_type)
        if key not in self._raw:
            self._left -= count * itemsize(dtype)
            if count < 0 or self._left < 0:
                raise EOFError('it declares more elements than it holds')
            raw = bytearray(count * itemsize(dtype))
            self._raw[key] = raw, location, dtype
            self._placed[key] = _bytes_tensor(raw)
        elements = _typed(self._placed[key], dtype)
        if view is None or isinstance(elements, QuantizedStorage):
            return elements
        return elements[view[1] : view[1] + view[2]]

    def fill(self, file: BinaryIO, key: str, *, is_big: bool) -> None:
        """Reads the elements of one storage."""
        raw, _, dtype = self._raw[key]
        self._filled.add(key)
        count = bytearray(8)
        _read_exactly(file, count)
        if struct.unpack('<q', count)[0] * itemsize(dtype) != len(raw):
            raise ContainerError(f'is damaged: the size of its storage {key} is wrong')
        _read_exactly(file, raw)
        if is_big:
            raw[:] = _byteswapped(raw, itemsize(dtype))

    def require_filled(self) -> None:
        """Makes sure that the file has elements for every storage that its object refers to.

        Raises:
            ContainerError: one is missing; its weights would be zeros.
        """
        for key in self._raw.keys() - self._filled:
            raise ContainerError(f'is damaged: it has no elements of its storage {key}')

    def place(self, map_location: Any) -> None:
        """Moves all of them to where ``map_location`` says."""
        for key, (_, location, _) in self._raw.items():
            self._placed[key] = _place(self._placed[key], location, map_location)


def read_legacy(file: BinaryIO, map_location: Any = 'cpu') -> Any:
    """The object of a torch legacy file; ``file`` stands behind the magic number."""
    size = size_of(file)
    if RestrictedUnpickler(file).load() != LEGACY_VERSION:
        raise ContainerError('has a torch format version that nobody wrote')
    machine = RestrictedUnpickler(file).load()
    is_big = not machine.get('little_endian', True)
    storages, start = _LegacyStorages(size), file.tell()
    result = RestrictedUnpickler(file, load_storage=storages.load).load_unresolved()
    for key in RestrictedUnpickler(file).load():
        storages.fill(file, key, is_big=is_big)
    storages.require_filled()
    if map_location is not None and str(map_location) != 'cpu':
        storages.place(map_location)
        file.seek(start)  # the object again, over storages that are elsewhere
        result = RestrictedUnpickler(file, load_storage=storages.load).load_unresolved()
    return finished(result, size)


def is_legacy_magic(first: Any) -> bool:
    """Whether a file whose first pickle this is has torch's legacy format."""
    return isinstance(first, int) and first == LEGACY_MAGIC


def read_pickle(path: str, map_location: Any = 'cpu') -> Any:
    """The object of a torch legacy file or of a plain pickle (numpy arrays)."""
    with open(path, 'rb') as file:
        first = RestrictedUnpickler(file).load()
        if is_legacy_magic(first):
            return read_legacy(file, map_location)
        return first


def read_safetensors(path: str, map_location: Any = 'cpu') -> dict[str, Any]:
    """``state_dict`` and whatever :func:`safetensors_bytes` kept beside it."""
    from safetensors import safe_open

    if isinstance(map_location, Mapping):
        map_location = map_location.get('cpu')
    device = 'cpu' if map_location is None or callable(map_location) else map_location
    with safe_open(path, framework='pt', device='cpu') as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
    extra = {}
    for key, text in metadata.items():
        try:
            extra[key] = parse_json(text)
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
