"""Measuring two ways of computing one thing: interleaved, by processor time, with their difference.

On a CPU the metric is process time, which other programs on the machine disturb least; on a GPU it
is the time until the device is done. Both ways run once before the measurement: that run gives
the results to compare and the peak memory.
"""

import contextlib
import ctypes
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a benchmark is run with.

    Attributes:
        size: (H, W) of the image in pixels.
        classes: number of classes.
        device: where tensors live.
        rounds: measured runs of each way.
    """

    size: tuple[int, int] = (1024, 2048)
    classes: int = 19
    device: str = 'cpu'
    rounds: int = 5


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far two results are apart.

    Attributes:
        differing: entries that are not equal.
        max_error: largest absolute difference.
        is_equal: whether that counts as the same result.
    """

    differing: int
    max_error: float
    is_equal: bool


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing computed in two ways.

    Attributes:
        name: unique within a run.
        stock: mmseg's way.
        ours: this package's way.
        compare: takes both results.
        gate: ratio on a CPU at the default size below which something is wrong.
        needs_grad: whether the ways compute gradients.
        wall: time by the clock, not by the processor: the ways start processes of their own.
    """

    name: str
    stock: Callable[[], Any]
    ours: Callable[[], Any]
    compare: Callable[[Any, Any], Difference]
    gate: float | None = None
    needs_grad: bool = False
    wall: bool = False


def exactly(stock: Any, ours: Any) -> Difference:
    """Compares tensors, or lists of tensors: every entry has to be equal."""
    return _difference(stock, ours, tolerance=0.0)


def within(tolerance: float) -> Callable[[Any, Any], Difference]:
    """Compares tensors, or lists of them, up to ``tolerance`` times each one's largest value."""
    return lambda stock, ours: _difference(stock, ours, tolerance=tolerance)


def within_norm(tolerance: float) -> Callable[[Any, Any], Difference]:
    """Compares tensors: the norm of the difference up to ``tolerance`` times the first one's norm.

    For gradients: an activation that is zero but for rounding opens on one side alone and changes
    a few entries as much as they are large.
    """

    def compare(stock: torch.Tensor, ours: torch.Tensor) -> Difference:
        apart = float((stock.double() - ours.double()).norm())
        is_equal = apart <= tolerance * float(stock.double().norm())
        return dataclasses.replace(exactly(stock, ours), is_equal=is_equal)

    return compare


def almost_all(fraction: float) -> Callable[[Any, Any], Difference]:
    """Compares label maps: at most ``fraction`` of the pixels may differ."""

    def compare(stock: torch.Tensor, ours: torch.Tensor) -> Difference:
        found = exactly(stock, ours)
        return dataclasses.replace(found, is_equal=found.differing <= fraction * stock.numel())

    return compare


def _difference(stock: Any, ours: Any, *, tolerance: float) -> Difference:
    if isinstance(stock, torch.Tensor):
        stock, ours = [stock], [ours]
    differing, error, is_equal = 0, 0.0, True
    for one, other in zip(stock, ours, strict=True):
        if one.shape != other.shape:
            return Difference(max(one.numel(), other.numel()), float('inf'), False)
        one, other = one.double(), other.double()
        differing += int((one != other).sum())
        own = float((one - other).abs().max())
        is_equal &= own <= tolerance * float(one.abs().max())
        error = max(error, own)
    return Difference(differing, error, is_equal)


def kept_for_gradient(module: torch.nn.Module, run: Callable[[], Any]) -> int:
    """Bytes that ``run()`` keeps for the backward pass, the weights of ``module`` not counted."""
    kept = {weight.untyped_storage()._cdata: 0 for weight in module.parameters()}
    alive = []  # a storage that is gone may hand its address to the next one

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in kept:
            kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        result = run()
    assert result.requires_grad
    return sum(kept.values())


def measure(case: Case, setting: Setting) -> dict[str, Any]:
    """Time, memory and difference of both ways, as plain numbers.

    Returns:
        ``stock_ms`` and ``ours_ms`` (medians), ``ratio`` (above 1: ours is faster), ``differing``,
        ``max_error``, ``is_equal``, ``stock_peak_mb`` and ``ours_peak_mb`` (None where the system
        does not tell), ``gate``.
    """
    with torch.set_grad_enabled(case.needs_grad):
        return _measure(case, setting)


def _measure(case: Case, setting: Setting) -> dict[str, Any]:
    peaks, results = [], []
    for way in (case.stock, case.ours):
        way()  # caches and lazily built tables
        peak = PeakMemory(setting.device)
        results.append(way())
        peaks.append(peak.megabytes())
    difference = case.compare(*results)
    del results
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(setting.rounds):
        for kept, way in zip(times, (case.stock, case.ours)):
            kept.append(_milliseconds(way, setting.device, wall=case.wall))
    stock_ms, ours_ms = (statistics.median(kept) for kept in times)
    return dict(
        name=case.name,
        stock_ms=round(stock_ms, 2),
        ours_ms=round(ours_ms, 2),
        ratio=round(stock_ms / ours_ms, 3),
        gate=case.gate,
        stock_peak_mb=peaks[0],
        ours_peak_mb=peaks[1],
        **dataclasses.asdict(difference),
    )


def _milliseconds(way: Callable[[], Any], device: str, *, wall: bool) -> float:
    if device == 'cpu':
        clock = time.perf_counter if wall else time.process_time
        start = clock()
        way()
        return (clock() - start) * 1e3
    torch.cuda.synchronize()
    start = time.perf_counter()
    way()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


class PeakMemory:
    """Memory taken since this was made, at most: on Linux the resident set, on a GPU torch's."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device != 'cpu':
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated() / 2**20
            return
        # memory that was freed but kept would hide what is taken next (glibc only)
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        # resets the peak; where that is not allowed, the peak so far is all there is
        with contextlib.suppress(OSError):
            Path('/proc/self/clear_refs').write_text('5')
        self.before = _resident('VmRSS')

    def megabytes(self) -> float | None:
        """MiB above what was there before; None where the system does not tell."""
        if self.device != 'cpu':
            return round(torch.cuda.max_memory_allocated() / 2**20 - self.before, 1)
        peak = _resident('VmHWM')
        return None if peak is None or self.before is None else round(peak - self.before, 1)


def _resident(field: str) -> float | None:
    status = Path('/proc/self/status')
    if not status.is_file():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024
