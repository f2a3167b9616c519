"""Members of zips and tars, one after the other, and which of them are refused."""

import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from openseg_plugin.errors import DataError

_MIB = 2**20


@dataclass(frozen=True)
class Member:
    """One file of an archive; ``modified`` is a time in seconds or None."""

    name: str
    size: int
    modified: float | None
    open: Callable[[], IO[bytes]]


def is_zip(archive: Path) -> bool:
    """Whether to read it as a zip.

    Raises:
        DataError: it was one, but its end is missing, or it is only called so.
    """
    if zipfile.is_zipfile(archive):
        return True
    with archive.open('rb') as file:
        if file.read(2) == b'PK':
            raise DataError(f'{archive} is cut short: download it again')
    if archive.suffix.lower() == '.zip':
        raise DataError(f'{archive} is no zip, whatever its name says: download it again')
    return False


def read_zip(archive: Path, allowed: int) -> Iterator[tuple[Member, int]]:
    """Files of a zip, each with the number of packed bytes read by then.

    Args:
        archive: the zip.
        allowed: bytes that it may unpack to.

    Raises:
        DataError: it unpacks to more, is encrypted, or holds links or devices.
    """
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        if sum(info.file_size for info in infos) > allowed:
            raise too_large(archive)
        position = 0
        for info in infos:
            position += info.compress_size
            kind = info.external_attr >> 16 & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise DataError(f'{archive}: {info.filename} is a link or device: refused')
            if info.is_dir():
                safe_name(info.filename, archive)
                continue
            if info.flag_bits & 1:
                raise DataError(f'{archive} is encrypted: unpack it yourself and give the folder')
            open_it = partial(file.open, info)
            yield Member(info.filename, info.file_size, _zip_time(info), open_it), position


def read_tar(archive: Path) -> Iterator[tuple[Member, int]]:
    """Files of a tar, each with the number of packed bytes read by then.

    Raises:
        DataError: it holds links or devices.
    """
    with archive.open('rb') as packed, tarfile.open(fileobj=packed, mode='r:*') as file:
        for info in file:
            if info.isdir():
                safe_name(info.name, archive)
                continue
            if not info.isfile():
                raise DataError(f'{archive}: {info.name} is a link or device: refused')
            open_it = partial(file.extractfile, info)
            yield Member(info.name, info.size, info.mtime, open_it), packed.tell()
        # tarfile takes a damaged header for the end; after a true end there are only zeros
        while rest := file.fileobj.read(_MIB):
            if rest.strip(b'\0'):
                raise tarfile.ReadError('a damaged header')


def too_large(archive: Path) -> DataError:
    """What is said of an archive that unpacks to more than is allowed."""
    return DataError(
        f'{archive} unpacks to far more than a data set of its size does and was refused: unpack '
        'it yourself if you trust it'
    )


def _zip_time(info: zipfile.ZipInfo) -> float | None:
    """Time of a member in seconds; zips store local time, and sometimes nonsense."""
    try:
        return time.mktime((*info.date_time, 0, 0, -1))
    except (OverflowError, ValueError):
        return None


def safe_name(name: str, archive: Path) -> PurePosixPath | None:
    """Path of a member below the target folder; None for what archivers of a Mac add.

    Raises:
        DataError: the member would land elsewhere.
    """
    path = PurePosixPath(name.replace('\\', '/'))
    if path.is_absolute() or '..' in path.parts or ':' in (path.parts or ('',))[0]:
        raise DataError(
            f'{archive}: member {name!r} would be written outside the target: the archive is not '
            'safe and was refused'
        )
    if '__MACOSX' in path.parts or path.name.startswith('._') or not path.name:
        return None
    return path
