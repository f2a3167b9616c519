"""Runs one function over many files: all cores, progress, resumable, nothing overwritten.

Results go to a folder that remembers in ``.options.json`` what was run. The same command goes on
where it was stopped; another one refuses that folder. A file that fails does not stop the others:
what could be done is kept, and one error at the end names the files and reasons.

``.sources.jsonl`` remembers, on request, what each result was made of and by which command.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import torch

from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import atomic_write, parse_json, target_errors, write_bytes
from openseg_plugin.utils.pool import in_threads
from openseg_plugin.utils.progress import Progress

RECORD, SOURCES = '.options.json', '.sources.jsonl'
_RUN = 'run'  # entry of the record that stands for all others, and of what remembers a result
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
        of_kinds: options of the kinds of results that are made now; must be the same as those of
            results of these kinds that the folder holds already.
        anew: all results are made anew, with whatever options.
        remedy: what to do where the folder holds results of something else.

    Raises:
        DataError: the folder holds results of something else.
    """

    def __init__(
        self,
        folder: Path,
        options: dict[str, Any],
        *,
        of_kinds: Mapping[str, Any] | None = None,
        anew: bool = False,
        remedy: str = 'give another folder, or remove it',
    ) -> None:
        self.folder = folder
        self._remedy = remedy
        self._lock = threading.Lock()
        if folder.exists() and not folder.is_dir():
            raise DataError(f'{folder} is a file: give a folder for the results')
        before = self._record()
        self._known = before is not None
        record: dict[str, Any] = {'options': options, 'of_kinds': dict(of_kinds or {})}
        if before is not None:
            other = _differences(before, record)
            if other and not anew:
                differences = ', '.join(f'{key} {was} (now {now})' for key, was, now in other)
                raise DataError(f'{folder} holds results made with {differences}: {remedy}')
            before = None if other else before
        folder.mkdir(parents=True, exist_ok=True)
        if before is not None:
            record = {**before, 'of_kinds': {**before['of_kinds'], **record['of_kinds']}}
        record.setdefault(_RUN, _short_hash(record))
        self._run = record[_RUN]
        if record != before:
            text = json.dumps(record, indent=2, sort_keys=True)
            write_bytes(folder / RECORD, text.encode())
        self._made_of = self._remembered()

    def _record(self) -> dict[str, Any] | None:
        try:
            found = parse_json((self.folder / RECORD).read_text(encoding='utf-8'))
            if not all(isinstance(found[key], dict) for key in ('options', 'of_kinds')):
                raise ValueError('it lacks the options')
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{self.folder / RECORD} is broken: remove {self.folder}') from error
        return found

    def _remembered(self) -> dict[str, tuple[str, str]]:
        """Result -> what it was made of and the run; a line that a kill cut short is left out."""
        found = {}
        with suppress(FileNotFoundError):
            for line in (self.folder / SOURCES).read_text(encoding='utf-8').splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    entry = parse_json(line)
                    found[entry['file']] = entry['source'], entry[_RUN]
        return found

    def is_done(
        self, to: PurePosixPath, sources: Sequence[Path], *, made_of: str | None = None
    ) -> bool:
        """Whether a result is there, newer than what it was made of, and of the options of now.

        Args:
            to: path of the result below the folder.
            sources: files that it was made of.
            made_of: what :meth:`remember` was told of it; if it was told nothing, it is not done.
                None: results of this folder are not remembered.

        Raises:
            DataError: a file of that name is there that no run of this command wrote, or that was
                made of something else.
        """
        try:
            made = (self.folder / to).stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if not self._known:
            raise DataError(
                f'{self.folder / to} exists and was not made by this command: give another folder'
            )
        if made_of is not None:
            # one that is not listed, as a kill leaves it, may be of the options before
            before, run = self._made_of.get(str(to), (made_of, None))
            if before != made_of:
                raise DataError(
                    f'{self.folder / to} was made of {before}, not of {made_of}: {self._remedy}'
                )
            if run != self._run:
                return False
        try:
            return all(one.stat().st_mtime_ns <= made for one in sources)
        except OSError:  # whoever reads it says what is wrong
            return False

    def remember(self, to: PurePosixPath, made_of: str) -> None:
        """Notes what a result, which is there now, was made of: an absolute path or an address."""
        entry = {'file': str(to), 'source': made_of, _RUN: self._run}
        with self._lock, target_errors(self.folder / SOURCES):
            if self._made_of.get(str(to)) == (made_of, self._run):
                return
            # one write at the end of the file, so that lines of several processes do not mix
            with open(self.folder / SOURCES, 'ab', buffering=0) as file:
                file.write(f'{json.dumps(entry)}\n'.encode())
            self._made_of[str(to)] = made_of, self._run

    def write(
        self,
        to: PurePosixPath,
        content: bytes | Callable[[Path], None],
        *,
        made_of: str | None = None,
    ) -> None:
        """Put a file into the folder, complete or not at all: bytes, or what writes to a path.

        Args:
            to: its path below the folder.
            content: of the file.
            made_of: to :meth:`remember`, if anything.
        """
        if isinstance(content, bytes):
            write_bytes(self.folder / to, content)
        else:
            with atomic_write(self.folder / to) as temporary:
                content(Path(temporary))
        if made_of is not None:
            self.remember(to, made_of)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Options that are not what they were: name, then and now; of kinds, those made both times."""
    pairs = [
        (key, before['options'].get(key), now['options'].get(key))
        for key in {*before['options'], *now['options']}
    ]
    pairs += [
        (key, before['of_kinds'][key], now['of_kinds'][key])
        for key in before['of_kinds'].keys() & now['of_kinds'].keys()
    ]
    return [
        (key, _said(was), _said(new))
        for key, was, new in sorted(pairs, key=lambda pair: pair[0])
        if was != new
    ]


def _said(value: Any) -> Any:
    return 'by default' if value is None else value


def _short_hash(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


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
