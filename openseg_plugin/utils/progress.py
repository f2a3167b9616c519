"""Progress of samples or of a download: a bar on a terminal, or a line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

_LINE_EVERY = 15.0  # seconds between lines where there is no terminal

ByteReport = Callable[[int, int | None], None]
"""Called with the bytes that are there, and those of the whole file if they are known."""

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """Counts samples; use it as a context manager.

    Args:
        text: what is being done.
        total: number of samples.
        show: print anything at all.
    """

    def __init__(self, text: str, *, total: int, show: bool = True) -> None:
        self.text = text
        self.total = total
        self.done = 0
        self._started = self._last_line = time.monotonic()
        self._lines = show and not sys.stderr.isatty()
        self._bar = _make_bar() if show and sys.stderr.isatty() else None
        self._task = None if self._bar is None else self._bar.add_task(text, total=total, rate='')

    def __enter__(self) -> 'Progress':
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._lines and self.done:
            self._print_line()

    def step(self, number: int = 1) -> None:
        """So many more are done."""
        self.done += number
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=number, rate=f'{self._rate():.1f}/s')
        elif self._lines and now - self._last_line > _LINE_EVERY:
            self._last_line = now
            self._print_line()

    def _rate(self) -> float:
        return self.done / max(time.monotonic() - self._started, 1e-9)

    def _print_line(self) -> None:
        rate = self._rate()
        left = (self.total - self.done) / rate
        print(
            f'{self.text}: {self.done} of {self.total}, {rate:.1f}/s, {left:.0f} s left',
            file=sys.stderr,
            flush=True,
        )


def _make_bar() -> 'Bar':
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[rate]}'),
        TextColumn('left'),
        TimeRemainingColumn(),
        TextColumn('used'),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def no_report(done: int, total: int | None) -> None:
    """Says nothing."""


@contextlib.contextmanager
def download_progress(text: str, *, is_shown: bool = True) -> Iterator[ByteReport]:
    """A report for a download: a bar, or lines now and then in a log.

    The bar is gone when the block ends, so an error begins on a line of its own.
    """
    if not is_shown:
        yield no_report
    elif not sys.stderr.isatty():
        yield _ByteLines(text)
    else:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            *(TextColumn('{task.description}'), BarColumn(), DownloadColumn()),
            *(TransferSpeedColumn(), TimeRemainingColumn()),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(text, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


class _ByteLines:
    """Prints how far it is now and then."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._last = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last > _LINE_EVERY:
            self._last = now
            whole = f' of {total / 2**20:.0f}' if total else ''
            print(f'{self._text}: {done / 2**20:.0f}{whole} MiB', file=sys.stderr, flush=True)
