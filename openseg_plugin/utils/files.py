"""Putting files into the target so that a half file never appears under its final name.

Endings of image files and words that name splits are the same for converters, datasets and checks.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from openseg_plugin.utils.atomic import atomic_write

# Half files live here until they are complete; on the same file system as the target.
PARTIAL = '.partial'
# What os.link raises where hard links are impossible: other disk, no support, too many links.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


@contextlib.contextmanager
def partial_file(root: Path, to: str) -> Iterator[Path]:
    """Path to write to; the file is moved to ``root/to`` when the block ends without error."""
    with atomic_write(root / to, folder=root / PARTIAL, sync=False) as partial:
        yield Path(partial)


def write_bytes(root: Path, to: str, content: bytes) -> None:
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

SPLITS = ('train', 'val', 'test')
SPLIT_WORDS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}


def split_of_word(word: str) -> str | None:
    """The split that a word means in any case: ``Valid`` and ``validation`` are ``val``."""
    return SPLIT_WORDS.get(word.lower())
