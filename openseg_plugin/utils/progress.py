"""Progress of a conversion: a bar with rate and time left, or a line now and then in a log."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

_LINE_EVERY = 15.0  # seconds between lines where there is no terminal


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
