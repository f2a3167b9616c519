"""A file from the web: resumed where it broke off, checked, and in place only when whole.

Not by the package pooch: it checks hashes and draws progress, but begins a broken download of
300 MB anew (version 1.9 sends no Range header and keeps no part).
"""

import hashlib
import os
import socket
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, getproxies, proxy_bypass, urlopen

from openseg_plugin.errors import CheckpointError
from openseg_plugin.utils.files import locked
from openseg_plugin.utils.progress import ByteReport, no_report

ATTEMPTS = 4
CHUNK = 2**20  # bytes
TIMEOUT = 30  # seconds without an answer
PAUSE = 1.0  # seconds before the second attempt at a server in trouble; doubles with each
MAX_BYTES = 16 * 2**30  # no file of weights is that large
MAX_SECONDS = 12 * 3600.0  # in all; a server may send a byte now and then for ever


class _TooMuchError(Exception):
    """The file is larger, or takes longer, than it may; the text says which."""


def is_address(text: str) -> bool:
    """Whether it is a web address, of http or https, and not a path."""
    return text.lower().startswith(('http://', 'https://'))


def is_reachable(host: str) -> bool:
    """Whether a server (``host`` or ``host:port``) answers, or a proxy is set for it."""
    if getproxies().keys() & {'https', 'all'} and not proxy_bypass(host):
        return True
    name, _, port = host.partition(':')
    try:
        socket.create_connection((name, int(port or 443)), timeout=3).close()
    except OSError:
        return False
    return True


def download(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    progress: ByteReport = no_report,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Put the file at ``address`` at ``target``; what came of it so far waits in ``target.part``.

    Of several processes that want one file, one fetches it; the others wait and find it there.

    Args:
        address: web address, of http or https.
        target: path of the file.
        sha256: its hash or the first digits of it.
        progress: called with the bytes that are there and those of the whole file, if known.
        max_bytes: size that the file may have.

    Raises:
        CheckpointError: it cannot be had, is larger than it may be, or is not what it should be.
        TargetError: the folder cannot be written.
    """
    part = target.with_name(f'{target.name}.part')
    manual = f'download it by hand, as {target}, and run this again'
    if not is_address(address):
        raise CheckpointError(f'{address} is no http or https address: {manual}')
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(part):
        if target.exists():  # another process was first
            check(target, sha256)
        else:
            _fetch_whole(address, part, sha256, _Limits(max_bytes, progress), manual)
            os.replace(part, target)


def _fetch_whole(
    address: str, part: Path, sha256: str | None, limits: '_Limits', manual: str
) -> None:
    """Bring the file to ``part`` and check it; what is wrong is removed.

    Raises:
        CheckpointError: it cannot be had, is larger than it may be, or is not what it should be.
    """
    try:
        _fetch(address, part, sha256, limits, manual)
    except _TooMuchError as error:
        part.unlink(missing_ok=True)
        raise CheckpointError(f'{address} {error}: {manual}') from None
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


class _Limits:
    """Counts bytes and seconds of one download."""

    def __init__(self, max_bytes: int, report: ByteReport) -> None:
        self._max_bytes = max_bytes
        self._report = report
        self._started = time.monotonic()

    def count(self, done: int, total: int | None) -> None:
        """So much is there, of so much.

        Raises:
            _TooMuchError: that is too much, or took too long.
        """
        if max(done, total or 0) > self._max_bytes:
            raise _TooMuchError(
                f'sends {max(done, total or 0) / 2**20:.0f} MiB where at most '
                f'{self._max_bytes / 2**20:.0f} MiB are expected'
            )
        if time.monotonic() - self._started > MAX_SECONDS:
            raise _TooMuchError(f'was not done after {MAX_SECONDS / 3600:.0f} hours')
        self._report(done, total)


def _fetch(address: str, part: Path, sha256: str | None, limits: _Limits, manual: str) -> None:
    """Bring the file to ``part``, in several attempts.

    Raises:
        CheckpointError: none succeeded.
        _TooMuchError: it is larger, or takes longer, than it may.
    """
    for attempt in range(ATTEMPTS):
        try:
            if _continue(address, part, limits):
                return
        except HTTPError as error:
            if error.code == 416 and _size(part):  # nothing is left to send
                if sha256 is not None and digest(part).startswith(sha256):
                    return
                os.truncate(part, 0)  # not removed: the lock is on it
                continue
            if error.code >= 500 and attempt < ATTEMPTS - 1:
                time.sleep(PAUSE * 2**attempt)
                continue
            raise CheckpointError(
                f'{address} answers {error.code} {error.reason}: {manual}'
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            if attempt == ATTEMPTS - 1:
                reason = error.reason if isinstance(error, URLError) else error
                raise CheckpointError(
                    f'{address} cannot be reached ({reason}): {manual}'
                ) from error
    raise CheckpointError(f'{address} breaks off again and again: run this again to go on')


def check(path: Path, sha256: str | None) -> None:
    """Compare the hash of a file.

    Raises:
        CheckpointError: it has another one.
    """
    if sha256 is None:
        return
    found = digest(path)
    if not found.startswith(sha256):
        raise CheckpointError(
            f'{path} is damaged: its SHA-256 starts with {found[: len(sha256)]}, not with '
            f'{sha256}; delete it and download it again'
        )


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    found = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _continue(address: str, part: Path, limits: _Limits) -> bool:
    """Fetch what is missing; whether all is there."""
    done = _size(part)
    headers = {'Range': f'bytes={done}-'} if done else {}
    with urlopen(Request(address, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status != 206:  # the server sends all of it
            done = 0
        length = answer.headers.get('Content-Length')
        total = done + int(length) if length else None
        with open(part, 'ab' if done else 'wb') as file:
            limits.count(done, total)
            while chunk := answer.read1(CHUNK):  # what has arrived, so that the clock is looked at
                file.write(chunk)
                done += len(chunk)
                limits.count(done, total)
            file.flush()
            os.fsync(file.fileno())
    return total is None or done >= total
