"""One function over many items on all cores: in processes or in threads, a few items ahead.

Processes for work that holds Python's lock (drawing, parsing), threads for work that does not
(decoding, hashing, NumPy and OpenCV).
"""

import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeVar

from openseg_plugin.errors import DataError, UserError

Item = TypeVar('Item')
Result = TypeVar('Result')

# Starting worker processes costs as much as converting about so many images.
FEW = 200
_CHUNK = 8


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Results of ``function`` for all items, in the order they finish.

    Args:
        function: can be pickled; runs in a worker process, or here with one worker.
        items: can be pickled; a few are taken ahead.
        workers: number of processes; 0 or 1: this process alone.

    Raises:
        DataError: a worker process died.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(workers, mp_context=_context(function), initializer=_prepare_worker)
    try:
        call = functools.partial(_apply, function)
        for results in _finished(pool, call, _chunks(items), 2 * workers):
            yield from results
    except BrokenProcessPool as error:
        raise DataError(
            'a worker process died, most likely because memory ran out: run the same command '
            'again with fewer --workers; finished files are kept (a script of your own must call '
            "this below if __name__ == '__main__')"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> Iterator[Result]:
    """Results of ``function`` for all items, in the order they finish.

    Args:
        function: what runs; its error ends the iteration.
        items: a few are taken ahead.
        workers: number of threads; None: one per core.
    """
    workers = workers or usable_cores()
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from _finished(pool, function, iter(items), 8 * workers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(
    pool: Executor, call: Callable[[Item], Result], items: Iterator[Item], ahead: int
) -> Iterator[Result]:
    waiting: set[Future[Result]] = {pool.submit(call, i) for i in itertools.islice(items, ahead)}
    while waiting:
        finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        waiting |= {pool.submit(call, item) for item in itertools.islice(items, len(finished))}
        for future in finished:
            yield future.result()


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, _CHUNK)):
        yield chunk


def _apply(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]


def ahead(
    items: Iterable[Item], *, number: int, is_ready: Callable[[Item], bool] = lambda _: False
) -> Iterator[Item]:
    """The same items, of which a number was taken before they are needed.

    Args:
        items: what takes time once it is taken, such as files that threads begin to read.
        number: how many wait, at most.
        is_ready: an item, and all before it, wait for none that follow.
    """
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        while len(waiting) > number or (waiting and is_ready(waiting[-1])):
            yield waiting.popleft()
    yield from waiting


def finished(function: Callable[[], Result]) -> 'Future[Result]':
    """What a function gives, or what is wrong: it is raised where the result is asked for."""
    found: Future[Result] = Future()
    try:
        found.set_result(function())
    except UserError as error:
        found.set_exception(error)
    return found


@contextmanager
def in_background(workers: int) -> Iterator[Callable[..., None]]:
    """Gives what runs a function in a thread: ``run(function, *arguments, most=N)``.

    At most N of them wait, then the first is waited for; the first error is raised.
    """
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(workers)

    def run(function: Callable[..., Any], *arguments: Any, most: int) -> None:
        waiting.append(pool.submit(function, *arguments))
        while len(waiting) > most:
            waiting.popleft().result()

    try:
        yield run
        for future in waiting:
            future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _context(function: Callable[..., object]) -> multiprocessing.context.BaseContext:
    """Workers that inherit no threads or locks; the server imports the function's module once."""
    if sys.platform != 'linux':
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    inner = function.func if isinstance(function, functools.partial) else function
    context.set_forkserver_preload([__name__, inner.__module__])
    return context


def _prepare_worker() -> None:
    """Ctrl-C goes to the main process alone; it lets the workers finish their item.

    A worker whose main process was killed would wait for work for ever; it ends with it instead.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import cv2

    cv2.setNumThreads(0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, 'runs in worker processes only'
    wait_for([parent.sentinel])
    os._exit(1)
