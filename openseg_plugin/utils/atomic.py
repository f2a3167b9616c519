"""Files that are either the old one or the new one, whatever happens while they are written."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from openseg_plugin.errors import UserError

# No space, quota used up, file larger than allowed.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_write(path: str) -> Iterator[str]:
    """Yields a temporary name beside ``path``; what was written there then takes its place.

    The contents are on the disk before the name changes. If the block fails, the temporary file
    goes and ``path`` is untouched.

    Raises:
        UserError: the disk is full.
    """
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f'.{name}.tmp')
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(folder)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise UserError(
                f'{path} was not written because the disk is full; the files of before are '
                'intact: free some space, then go on with --resume'
            ) from error
        raise


def write_text(path: str, text: str) -> None:
    """Replaces a text file in one step."""
    with atomic_write(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write(text)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
