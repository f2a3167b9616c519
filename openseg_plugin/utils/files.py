"""Files that are either the old one or the new one, whatever happens while they are written.

Also what converters, datasets and checks agree on: endings of image files, words that name splits.
And YAML whose anchors stand for no more than a reader can go through.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openseg_plugin.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # asked for before it is used

_FULL = 'free some space, then run the same command again (a training: with --resume)'
_CHUNK = 2**22  # bytes
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
def alone(folder: str | Path) -> Iterator[None]:
    """One process of the machine at a time is in the block; the others wait.

    Args:
        folder: existing one, which gets the file ``.lock``. Where the system has no such locks,
            nobody waits.
    """
    if fcntl is None:
        yield
        return
    with open(os.path.join(folder, '.lock'), 'ab') as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # goes with the process, however that ends
        yield


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process of the machine at a time is in the block with this file; the others wait.

    The block may rename or remove the file. It is made where it is not there, and goes again if
    nothing was written. Where the system or the file system has no such locks, nobody waits.

    Raises:
        TargetError: the file cannot be written.
    """
    if fcntl is None:
        yield
        return
    with target_errors(path):
        descriptor = _open_locked(path)
    try:
        yield
    finally:
        if _is_at(descriptor, path) and not path.stat().st_size:
            path.unlink()
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'waiting for another process that writes {path}', file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # the file system has no locks
            return descriptor
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # the other process renamed or removed the file


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


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
                with contextlib.suppress(OSError):  # not every file system can
                    _sync(beside)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def digest_of(path: str | Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file, or of all files of a folder.

    The weights of an OpenVINO file (.bin beside .xml) belong to it.
    """
    file = Path(path)
    files = sorted(file.glob('*')) if file.is_dir() else [file]
    files += [file.with_suffix('.bin')] if file.suffix == '.xml' else []
    found = hashlib.sha256()
    for one in files:
        if one.is_file():
            with one.open('rb') as opened:
                while chunk := opened.read(_CHUNK):
                    found.update(chunk)
    return found.hexdigest()[:16]


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


# Half files live here until they are complete; on the same file system as the target.
PARTIAL = '.partial'
# What os.link raises where hard links are impossible: other disk, no support, too many links.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


@contextlib.contextmanager
def partial_file(root: Path, to: str) -> Iterator[Path]:
    """Path to write to; the file is moved to ``root/to`` when the block ends without error."""
    with atomic_write(root / to, folder=root / PARTIAL, sync=False) as partial:
        yield Path(partial)


def write_below(root: Path, to: str, content: bytes) -> None:
    """Writes a file that appears complete or not at all."""
    with partial_file(root, to) as partial:
        partial.write_bytes(content)


def place(src: Path, root: Path, to: str, *, how: str) -> None:
    """Puts ``src`` to ``root/to``.

    Args:
        src: the file.
        root: target folder.
        to: path below it.
        how: ``'link'`` (hard link, a copy where that is impossible), ``'copy'`` or ``'symlink'``.
    """
    with partial_file(root, to) as partial:
        if how == 'copy' or not _linked(src, partial, how):
            shutil.copyfile(src, partial)
            shutil.copystat(src, partial)


def _linked(src: Path, partial: Path, how: str) -> bool:
    if how == 'symlink':
        partial.symlink_to(src.resolve())
        return True
    try:
        os.link(src.resolve(), partial)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    return True


def is_fresh(target: Path, sources: tuple[Path, ...]) -> bool:
    """Whether ``target`` is there, with content, and no source was changed after it."""
    try:
        made = target.stat()
    except FileNotFoundError:
        return False
    if not made.st_size:
        return False
    return all(made.st_mtime_ns >= source.stat().st_mtime_ns for source in sources)


def remove_partial(root: Path) -> None:
    """Removes what an interrupted run may have left."""
    shutil.rmtree(root / PARTIAL, ignore_errors=True)


# What training reads; the converters write these in lower case.
IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# Label images are rewritten as PNG, so a format that training does not read is fine for them.
LABEL_ENDINGS = (*IMAGE_ENDINGS, '.gif')

_NUMBER = re.compile(r'(?<=[a-z])[-_ ]?\d+$')
SPLITS = ('train', 'val', 'test')
SPLIT_WORDS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}


def split_of_word(word: str) -> str | None:
    """The split that a word means in any case: ``Valid``, ``validation`` and ``val2017`` are val.

    A number may follow, as years do.
    """
    return SPLIT_WORDS.get(_NUMBER.sub('', word.lower()))


_MOST_VALUES = 1_000_000


def without_bombs(loader: Any) -> Any:
    """The YAML loader class, made to refuse files whose anchors repeat each other without limit.

    ``[*a, *a, *a]``, of that again a list, and so on: some lines stand for more values than any
    program can go through, though a loader makes each of them once.
    """
    import yaml

    def get_single_node(self: Any) -> Any:
        node = loader.get_single_node(self)
        if node is not None and _size_of_node(node, {}) > _MOST_VALUES:
            raise yaml.YAMLError(f'its anchors stand for more than {_MOST_VALUES} values')
        return node

    return type('Bounded' + loader.__name__, (loader,), {'get_single_node': get_single_node})


def _size_of_node(node: Any, known: dict[int, int]) -> int:
    """Values that a walk through a node of YAML meets, each anchor as often as it is named."""
    if id(node) not in known:
        known[id(node)] = 1  # one that holds itself is not gone through again
        parts = node.value if isinstance(node.value, list) else ()
        # the parts of a mapping are pairs of a key and a value
        inner = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_size_of_node(one, known) for one in inner)
    return known[id(node)]


def parse_json(text: str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is none, or is nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError('it is nested too deeply') from error
