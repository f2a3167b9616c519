"""Unpacking downloaded zips and tars without trusting them.

No member may land outside the folder, no links or devices are made, and an archive that would
unpack to far more than it is (a "bomb") is refused before or while it is read.
"""

import contextlib
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from openseg_plugin.converters.datasets.core import files
from openseg_plugin.converters.datasets.core.find import PICTURES
from openseg_plugin.converters.datasets.core.members import (
    Member,
    is_zip,
    read_tar,
    read_zip,
    safe_name,
    too_large,
)
from openseg_plugin.converters.datasets.core.progress import Progress
from openseg_plugin.errors import DataError

RAW = '.raw'
_SUFFIXES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz', '.tbz2', '.txz')
_MIB = 2**20
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError)
try:
    from lzma import LZMAError
except ImportError:  # a Python without lzma cannot open such a file at all
    pass
else:
    _BROKEN = (*_BROKEN, LZMAError)


@dataclass(frozen=True)
class Limits:
    """How much an archive may become; the published data sets stay far below.

    Attributes:
        ratio: unpacked size per archive size.
        free_bytes: an archive that unpacks to less is never refused for its ratio.
        members: number of files.
    """

    ratio: float = 200.0
    free_bytes: int = 2**30
    members: int = 5_000_000


class _Settings(Protocol):
    """What of the run's settings matters here."""

    images: str
    dry_run: bool
    check: bool
    show_progress: bool
    limits: Limits


@contextlib.contextmanager
def opened_source(src: Path, dst: Path, *, settings: _Settings) -> Iterator[Path]:
    """The folder with the raw files: ``src`` itself, or what its archives unpack to.

    Archives are unpacked below the target and removed again when everything went well; after an
    interruption the next run goes on with what is there. Where nothing may be written there (a
    check, a dry run), they are unpacked to a temporary folder, which is always removed.

    Raises:
        DataError: an archive that is broken, encrypted, or not safe to unpack.
    """
    archives = find_archives(src)
    if not archives:
        yield src
        return
    if settings.dry_run or settings.check:
        with tempfile.TemporaryDirectory(prefix='unpacked_') as folder:
            _unpack_all(src, archives, Path(folder), settings)
            yield Path(folder)
        return
    if settings.images == 'symlink':
        raise DataError(f'{src} is packed, so links would lead nowhere: use --images link or copy')
    _unpack_all(src, archives, dst / RAW, settings)
    yield dst / RAW
    shutil.rmtree(dst / RAW, ignore_errors=True)


def _unpack_all(src: Path, archives: list[Path], raw: Path, settings: _Settings) -> None:
    """Unpacks all archives to one folder and links the loose files beside them."""
    for archive in archives:
        try:
            unpack(archive, raw, limits=settings.limits, show_progress=settings.show_progress)
        except DataError as error:
            if not isinstance(error, files.TargetError):
                shutil.rmtree(raw, ignore_errors=True)
            raise
    if src.is_dir():
        for path in src.iterdir():
            if path.is_file() and path not in archives and not (raw / path.name).exists():
                files.place(path, raw, path.name, how='symlink')


def find_archives(src: Path) -> list[Path]:
    """The archives to unpack: ``src`` itself, or all in a folder without folders and pictures.

    Raises:
        DataError: ``src`` is a file, but not an archive.
    """
    if src.is_dir():
        names = [path for path in sorted(src.iterdir()) if not path.name.startswith('.')]
        if any(path.is_dir() or path.name.lower().endswith(PICTURES) for path in names):
            return []
        return [path for path in names if path.name.lower().endswith(_SUFFIXES)]
    if src.suffix.lower() in ('.json', '.lst', '.txt'):
        return []
    if not is_zip(src) and not tarfile.is_tarfile(src):
        raise DataError(f'{src} is neither a folder nor a zip or tar: give what was downloaded')
    return [src]


def unpack(archive: Path, into: Path, *, limits: Limits, show_progress: bool = False) -> None:
    """Unpacks an archive; files that are there with the same size and time are kept.

    Raises:
        DataError: the archive is broken, encrypted, or not safe.
    """
    total = archive.stat().st_size
    allowed = max(limits.free_bytes, int(limits.ratio * total))
    members = read_zip(archive, allowed) if is_zip(archive) else read_tar(archive)
    unpacked = number = 0
    text = f'unpacking {archive.name} (MiB)'
    try:
        with Progress(text, total=total // _MIB + 1, show=show_progress) as progress:
            for member, position in members:
                number += 1
                unpacked += member.size
                if unpacked > allowed or number > limits.members:
                    raise too_large(archive)
                _write(member, into, archive)
                progress.step(position // _MIB - progress.done)
    except _BROKEN as error:
        raise _broken(archive, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _broken(archive, error) from error


def _broken(archive: Path, error: Exception) -> DataError:
    return DataError(f'{archive} is broken or cut short ({error}): download it again')


def _write(member: Member, into: Path, archive: Path) -> None:
    name = safe_name(member.name, archive)
    if name is None:
        return
    target = into / name
    modified = min(member.modified or time.time(), time.time())
    if target.is_file():
        there = target.stat()
        if there.st_size == member.size and abs(there.st_mtime - modified) < 1:
            return
    with files.partial_file(into, str(name)) as partial:
        with member.open() as source, partial.open('wb') as sink:
            shutil.copyfileobj(source, sink, _MIB)
        os.utime(partial, (modified, modified))
