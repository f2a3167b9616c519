"""Runs one function over many files: all cores, progress, resumable, nothing overwritten.

Results go to a folder that remembers in ``.segfix.json`` what was run. The same command goes on
where it was stopped; another one refuses that folder. A file that fails does not stop the others:
what could be done is kept, and one error at the end names the files and reasons.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import torch

from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import atomic_write, parse_json, write_bytes
from openseg_plugin.utils.pool import in_threads
from openseg_plugin.utils.progress import Progress

RECORD = '.segfix.json'
_NAMED = 5  # failures spelled out in the error


def refuse_input(out: Path, *inputs: Path | None) -> None:
    """Make sure that results do not go where the inputs lie.

    Raises:
        DataError: they would.
    """
    for place in inputs:
        if place is not None and place.resolve() == out.resolve():
            raise DataError(f'{out} is an input: give another folder for the results')


class Output:
    """A folder for results.

    Args:
        folder: made if need be.
        options: what was run with; must be the same as what the folder holds already.

    Raises:
        DataError: the folder holds results of something else.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise DataError(f'{folder} is a file: give a folder for the results')
        self._known = self._check_record(options)
        folder.mkdir(parents=True, exist_ok=True)
        if not self._known:
            text = json.dumps(options, indent=2, sort_keys=True)
            write_bytes(folder / RECORD, text.encode())

    def _check_record(self, options: dict[str, Any]) -> bool:
        """Whether the folder holds results of this very command."""
        try:
            before = parse_json((self.folder / RECORD).read_text(encoding='utf-8'))
        except FileNotFoundError:
            return False
        except ValueError as error:
            raise DataError(f'{self.folder / RECORD} is broken: remove {self.folder}') from error
        keys = sorted(set(before) | set(options))
        other = [key for key in keys if before.get(key) != options.get(key)]
        if other:
            differences = ', '.join(f'{k} {before.get(k)} (now {options.get(k)})' for k in other)
            raise DataError(
                f'{self.folder} holds results made with {differences}: give another folder, or '
                'remove it'
            )
        return True

    def is_done(self, to: PurePosixPath, sources: Sequence[Path]) -> bool:
        """Whether a result is there, and newer than what it was made of.

        Raises:
            DataError: a file of that name is there that no run of this command wrote.
        """
        try:
            made = (self.folder / to).stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if not self._known:
            raise DataError(
                f'{self.folder / to} exists and was not made by this command: give another folder'
            )
        return all(source.stat().st_mtime_ns <= made for source in sources)

    def write(self, to: PurePosixPath, content: bytes | Callable[[Path], None]) -> None:
        """Put a file into the folder, complete or not at all: bytes, or what writes to a path."""
        if isinstance(content, bytes):
            write_bytes(self.folder / to, content)
            return
        with atomic_write(self.folder / to) as temporary:
            content(Path(temporary))


def run_all(
    function: Callable[[Any], Any], items: Sequence[Any], *, workers: int | None, title: str
) -> tuple[list[Any], list[DataError]]:
    """``function`` of every item, in the order of the items, and what went wrong.

    Threads do it: reading, inflating, OpenCV and numpy all work outside of Python's lock.

    Args:
        function: raises :class:`DataError` for an item that cannot be done; the others go on.
        items: what to run over.
        workers: threads; None for one per core.
        title: shown before the progress bar.

    Returns:
        Results without those of failed items, and the errors.
    """

    def attempt(numbered: tuple[int, Any]) -> tuple[int, Any, DataError | None]:
        index, item = numbered
        try:
            return index, function(item), None
        except DataError as error:
            return index, None, error

    results: dict[int, Any] = {}
    failures: dict[int, DataError] = {}
    with _one_thread_each(), Progress(title, total=len(items)) as progress:
        for index, result, error in in_threads(attempt, enumerate(items), workers=workers):
            progress.step()
            if error is None:
                results[index] = result
            else:
                failures[index] = error
    return (
        [results[index] for index in sorted(results)],
        [failures[index] for index in sorted(failures)],
    )


def raise_failures(failures: Sequence[DataError], done: int, folder: Path) -> None:
    """One error for all files that failed; nothing where there are none.

    Raises:
        DataError: names the first few.
    """
    if not failures:
        return
    if len(failures) == 1 and not done:
        raise failures[0]
    named = '; '.join(str(error) for error in failures[:_NAMED])
    more = f'; and {len(failures) - _NAMED} more' if len(failures) > _NAMED else ''
    raise DataError(
        f'{len(failures)} of {len(failures) + done} files failed, the results of the others are '
        f'in {folder}: {named}{more}'
    )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV and torch without threads of their own while ours keep the cores busy."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
