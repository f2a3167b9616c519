"""Runs the samples of a plan on all cores, a few at a time, in any order."""

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for

from openseg_plugin.converters.datasets.core.plan import Sample
from openseg_plugin.converters.datasets.core.worker import Done, Job, process
from openseg_plugin.errors import DataError

# Starting worker processes costs as much as converting about so many pictures.
FEW = 200
_CHUNK = 8


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(samples: Sequence[Sample], job: Job, *, workers: int | None = None) -> Iterator[Done]:
    """Converts all samples and yields one result per sample, in the order they finish.

    Args:
        samples: what to convert.
        job: what is the same for all of them.
        workers: number of processes; None: as many as there are cores, or none where starting
            them costs more than it saves; 0 or 1: this process alone.
    """
    if workers is None:
        workers = usable_cores() if len(samples) > FEW else 1
    if workers <= 1:
        for index, sample in enumerate(samples):
            yield process(index, sample, job)
        return
    yield from _run_in_processes(samples, job, workers)


def _run_in_processes(samples: Sequence[Sample], job: Job, workers: int) -> Iterator[Done]:
    chunks = _chunks(samples)
    pool = ProcessPoolExecutor(workers, mp_context=_context(), initializer=_prepare)
    waiting: set[Future[list[Done]]] = set()
    try:
        for chunk in itertools.islice(chunks, 2 * workers):
            waiting.add(pool.submit(_process_chunk, chunk, job))
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for chunk in itertools.islice(chunks, len(finished)):
                waiting.add(pool.submit(_process_chunk, chunk, job))
            for future in finished:
                yield from future.result()
    except BrokenProcessPool as error:
        raise DataError(
            'a worker process died, most likely because memory ran out: run the same command '
            'again with fewer --workers; finished files are kept (a script of your own must call '
            "this below if __name__ == '__main__')"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(samples: Sequence[Sample]) -> Iterator[list[tuple[int, Sample]]]:
    numbered = enumerate(samples)
    while chunk := list(itertools.islice(numbered, _CHUNK)):
        yield chunk


def _process_chunk(chunk: list[tuple[int, Sample]], job: Job) -> list[Done]:
    return [process(index, sample, job) for index, sample in chunk]


def _context() -> multiprocessing.context.BaseContext:
    """Workers that inherit no threads or locks; the server imports this module only once."""
    if sys.platform != 'linux':
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    return context


def _prepare() -> None:
    """Ctrl-C goes to the main process alone; it lets the workers finish their sample.

    A worker whose main process was killed would wait for work for ever; it ends with it instead.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import cv2

    cv2.setNumThreads(0)


def _end_with_parent() -> None:
    wait_for([multiprocessing.parent_process().sentinel])
    os._exit(1)
