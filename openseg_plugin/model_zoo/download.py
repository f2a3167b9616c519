"""A file from the web: resumed where it broke off, checked, and in place only when whole."""

import hashlib
import os
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from openseg_plugin.errors import CheckpointError

ATTEMPTS = 4
CHUNK = 2**20  # bytes
TIMEOUT = 30  # seconds without an answer
PAUSE = 1.0  # seconds before the second attempt at a server in trouble; doubles with each


def download(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Put the file at ``address`` at ``target``; what came of it so far waits in ``target.part``.

    Args:
        address: web address.
        target: path of the file.
        sha256: its hash or the first digits of it.
        progress: called with the bytes that are there and those of the whole file, if known.

    Raises:
        CheckpointError: it cannot be had, or is not what it should be.
    """
    part = target.with_name(f'{target.name}.part')
    target.parent.mkdir(parents=True, exist_ok=True)
    manual = f'download it by hand, as {target}, and run this again'
    for attempt in range(ATTEMPTS):
        try:
            if _continue(address, part, progress):
                break
        except HTTPError as error:
            if error.code == 416 and part.exists():  # nothing is left to send
                if sha256 is not None and _digest(part).startswith(sha256):
                    break
                part.unlink()
                continue
            if error.code >= 500 and attempt < ATTEMPTS - 1:
                time.sleep(PAUSE * 2**attempt)
                continue
            raise CheckpointError(
                f'{address} answers {error.code} {error.reason}: {manual}'
            ) from error
        except (OSError, HTTPException) as error:
            if attempt == ATTEMPTS - 1:
                reason = error.reason if isinstance(error, URLError) else error
                raise CheckpointError(
                    f'{address} cannot be reached ({reason}): {manual}'
                ) from error
    else:
        raise CheckpointError(f'{address} breaks off again and again: run this again to go on')
    with open(part, 'rb') as file:
        is_page = file.read(64).lstrip().startswith(b'<')
    if is_page:
        part.unlink()
        raise CheckpointError(f'{address} gives a web page, not the file: {manual}')
    try:
        check(part, sha256)
    except CheckpointError:
        part.unlink()
        raise
    os.replace(part, target)


def check(path: Path, sha256: str | None) -> None:
    """Compare the hash of a file.

    Raises:
        CheckpointError: it has another one.
    """
    if sha256 is None:
        return
    digest = _digest(path)
    if not digest.startswith(sha256):
        raise CheckpointError(
            f'{path} is damaged: its SHA-256 starts with {digest[: len(sha256)]}, not with '
            f'{sha256}; delete it and download it again'
        )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _continue(address: str, part: Path, progress: Callable[[int, int | None], None]) -> bool:
    """Fetch what is missing; whether all is there."""
    done = part.stat().st_size if part.exists() else 0
    headers = {'Range': f'bytes={done}-'} if done else {}
    with urlopen(Request(address, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status != 206:  # the server sends all of it
            done = 0
        length = answer.headers.get('Content-Length')
        total = done + int(length) if length else None
        with open(part, 'ab' if done else 'wb') as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    return total is None or done >= total
