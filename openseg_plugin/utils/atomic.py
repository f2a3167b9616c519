"""Files that are either the old one or the new one, whatever happens while they are written."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from openseg_plugin.errors import DataError

_FULL = 'free some space, then run the same command again (a training: with --resume)'
_NO_TARGET = {
    errno.ENOSPC: f'no space is left on its disk (the disk is full): {_FULL}',
    errno.EDQUOT: f'the disk is full (quota used up): {_FULL}',
    errno.EFBIG: f'the disk is full, or "ulimit -f" permits no such file: {_FULL}',
    errno.EROFS: 'it is on a read-only file system: choose another target',
    errno.EACCES: 'writing there is not permitted: choose another target or change its permissions',
    errno.EPERM: 'writing there is not permitted: choose another target or change its permissions',
}


class TargetError(DataError):
    """A target cannot be written: nothing else can be either, so everything stops."""


@contextlib.contextmanager
def target_errors(path: str | Path) -> Iterator[None]:
    """Turns a full disk, missing permissions and the like into :class:`TargetError`."""
    try:
        yield
    except OSError as error:
        reason = _NO_TARGET.get(error.errno or 0)
        if reason is None:
            raise
        raise TargetError(f'cannot write {path}: {reason}') from error


@contextlib.contextmanager
def atomic_write(
    path: str | Path, *, folder: str | Path | None = None, sync: bool = True
) -> Iterator[str]:
    """Yields a temporary name; what was written there takes the place of ``path``.

    If the block fails, the temporary file goes and ``path`` is untouched. The temporary name holds
    the process number, so two processes that write one file do not mix.

    Args:
        path: the file; its folder is made.
        folder: where the temporary file lies, on the same file system; None: beside ``path``.
        sync: have the contents on the disk before the name changes.

    Raises:
        TargetError: the disk is full, or the place cannot be written.
    """
    target = os.path.abspath(path)
    beside, name = os.path.split(target)
    with target_errors(path):
        os.makedirs(beside, exist_ok=True)
        place = os.path.abspath(folder) if folder is not None else beside
        os.makedirs(place, exist_ok=True)
        temporary = os.path.join(place, f'.{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp')
        try:
            yield temporary
            if sync:
                _sync(temporary)
            os.replace(temporary, target)
            if sync:
                _sync(beside)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replaces a file in one step."""
    with atomic_write(path) as temporary, open(temporary, 'wb') as file:
        file.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Replaces a text file (UTF-8) in one step."""
    write_bytes(path, text.encode())


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
