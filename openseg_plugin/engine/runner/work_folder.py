"""A work folder belongs to one training at a time."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from mmengine.logging import print_log

from openseg_plugin.engine.distributed.process_group import run_on_main
from openseg_plugin.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows: two trainings in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = '.lock'
_held: dict[str, int] = {}  # folder -> open lock file of this process


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """The folder is this training's within the block; all processes call it together.

    Raises:
        ConfigError: another training has it.
    """
    run_on_main(lambda: lock(folder))
    try:
        yield
    finally:
        unlock(folder)


def lock(folder: str) -> None:
    """Makes the folder this process's own until :func:`unlock` or its end, however it ends.

    A POSIX record lock: the system releases it with the process, and it holds between machines
    where the network file system passes locks on. A second call does nothing.

    Raises:
        ConfigError: another process has it; names host and process.
    """
    folder = os.path.realpath(folder)
    if folder in _held or fcntl is None:
        return
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, LOCK_NAME)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 200, 0).decode(errors='replace').strip()
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise ConfigError(
                    f'another training ({owner or "just started"}) runs in {folder}: end it, or '
                    'give this one another --work-dir'
                ) from error
            print_log(f'{folder} cannot be locked ({error}): start no second training in it')
            return
        if _is_file(descriptor, path):
            break
        os.close(descriptor)  # the other one removed it in between
    owner = f'host {socket.gethostname()}, process {os.getpid()}, since {datetime.now():%F %T}\n'
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, owner.encode(), 0)
    _held[folder] = descriptor


def unlock(folder: str) -> None:
    """Gives the folder back, if this process has it."""
    folder = os.path.realpath(folder)
    descriptor = _held.pop(folder, None)
    if descriptor is None:
        return
    path = os.path.join(folder, LOCK_NAME)
    if _is_file(descriptor, path):
        os.unlink(path)  # before the lock goes, so that nobody's lock is removed
    os.close(descriptor)


def _is_file(descriptor: int, path: str) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
