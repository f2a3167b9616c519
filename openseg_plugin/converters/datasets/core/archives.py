"""Unpacking downloaded zips and tars without trusting them.

No member may land outside the folder, no links or devices are made, and an archive that would
unpack to far more than it is (a "bomb") is refused before or while it is read.

Members of zips and tars, one after the other, and which of them are refused.
"""

import contextlib
import errno
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from openseg_plugin.errors import DataError
from openseg_plugin.utils import files
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.progress import Progress

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
            if not info.filename.strip('/'):
                raise DataError(f'{archive} has a member without a name: pack the files anew')
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
            open_it = partial(_extracted, file, info)
            yield Member(info.name, info.size, info.mtime, open_it), packed.tell()
        # tarfile takes a damaged header for the end; after a true end there are only zeros
        while rest := file.fileobj.read(_MIB):
            if rest.strip(b'\0'):
                raise tarfile.ReadError('a damaged header')


def _extracted(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = file.extractfile(info)
    assert content is not None, 'only regular files are read'
    return content


def too_large(archive: Path) -> DataError:
    """What is said of an archive that unpacks to more than is allowed."""
    return DataError(
        f'{archive} unpacks to far more than a dataset of its size does and was refused: unpack '
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


RAW = '.raw'
_SUFFIXES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz', '.tbz2', '.txz')
_BROKEN: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    NotImplementedError,
)
try:
    from lzma import LZMAError
except ImportError:  # a Python without lzma cannot open such a file at all
    pass
else:
    _BROKEN = (*_BROKEN, LZMAError)


@dataclass(frozen=True)
class Limits:
    """How much an archive may become; the published datasets stay far below.

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

    @property
    def link_mode(self) -> str: ...
    @property
    def dry_run(self) -> bool: ...
    @property
    def check(self) -> bool: ...
    @property
    def show_progress(self) -> bool: ...
    @property
    def limits(self) -> Limits: ...


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
    if settings.link_mode == 'symlink':
        raise DataError(
            f'{src} is packed, so links would lead nowhere: use --link-mode link or copy'
        )
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
    """The archives to unpack: ``src`` itself, or all in a folder without folders and images.

    Raises:
        DataError: ``src`` is a file, but not an archive.
    """
    if src.is_dir():
        names = [path for path in sorted(src.iterdir()) if not path.name.startswith('.')]
        if any(path.is_dir() or path.name.lower().endswith(IMAGE_ENDINGS) for path in names):
            return []
        return [path for path in names if path.name.lower().endswith(_SUFFIXES)]
    if src.suffix.lower() in ('.json', '.lst', '.txt', '.xml', '.yaml', '.yml', '.csv'):
        return []
    if not is_zip(src) and not _is_tar(src):
        raise DataError(f'{src} is neither a folder nor a zip or tar: give what was downloaded')
    return [src]


def _is_tar(path: Path) -> bool:
    """Whether to read it as a tar.

    Raises:
        DataError: its beginning is missing or damaged although it is called so.
    """
    try:
        is_tar = tarfile.is_tarfile(path)
    except _BROKEN as error:
        raise _broken(path, error) from error
    if not is_tar and path.name.lower().endswith(_SUFFIXES):
        raise _broken(path, tarfile.ReadError('no tar begins there'))
    return is_tar


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
        if error.errno not in (None, errno.EINVAL):  # a damaged zip leads in front of its start
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
