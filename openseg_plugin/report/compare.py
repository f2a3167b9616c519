"""Two or more tests side by side: what changed, how surely, and on which images.

Uncertainty: bootstrap over images (Efron, 1979), percentile intervals. All tests share every
resample, so that what is common to them, such as hard images, cancels in the differences.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.evaluation.confusion import class_areas
from openseg_plugin.report.metrics import mean_metrics, report_metrics
from openseg_plugin.report.results import Results, TestedImage, percent
from openseg_plugin.utils.files import write_text

RESAMPLES = 10_000
LEVEL = 0.95
NAME = 'compare.json'
SCHEMA, VERSION = 'openseg_plugin.comparison', 1
_CHUNK = 250  # resamples at a time


@dataclass(frozen=True)
class Change:
    """Difference of a metric to the first test, fractions of 1 or NaN.

    Attributes:
        values: of every test.
        differences: of every test but the first to the first one.
        intervals: their confidence intervals, (low, high) each.
    """

    values: tuple[float, ...]
    differences: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]

    @property
    def certain(self) -> tuple[bool, ...]:
        """Whether the interval of a difference leaves 0 out."""
        return tuple(low > 0 or high < 0 for low, high in self.intervals)


@dataclass(frozen=True)
class Comparison:
    """All that differs.

    Attributes:
        names: of the tests.
        runs: results, with the same images in the same order.
        metrics: changes by name of the metric.
        classes: changes of the IoU, one per class.
        settings: rows (key, value in every test) of protocol and config that differ.
    """

    names: tuple[str, ...]
    runs: tuple[Results, ...]
    metrics: dict[str, Change]
    classes: tuple[Change, ...]
    settings: tuple[tuple[str, ...], ...]


def compare(
    runs: Sequence[tuple[str, Results]],
    *,
    intersection: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Differences of tests to the first one.

    Args:
        runs: name and results of two or more tests.
        intersection: compare on the images that all of them have.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: other classes, other images (without ``intersection``), none in common, or
            another ground truth.
    """
    names = tuple(name for name, _ in runs)
    results = align([one for _, one in runs], names, intersection=intersection)
    stacks = [_Stack.of(one) for one in results]
    rng = np.random.default_rng(seed)
    number = len(results[0].images)
    sampled: list[list[dict[str, np.ndarray]]] = [[] for _ in stacks]
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        # how often each image is drawn
        weights = rng.multinomial(number, np.full(number, 1 / number), size=size)
        for parts, stack in zip(sampled, stacks):
            parts.append(stack.metrics(weights))
    whole = [stack.metrics(np.ones((1, number), np.int64)) for stack in stacks]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in sampled
    ]
    shared = [name for name in whole[0] if all(name in one for one in whole)]
    changes = {name: _change(name, whole, joined) for name in shared if name != 'class IoU'}
    classes = [
        _change('class IoU', whole, joined, column) for column in range(len(results[0].classes))
    ]
    return Comparison(names, results, changes, tuple(classes), _settings(results))


@dataclass(frozen=True)
class _Stack:
    """Counts of all images of a test: (N, 3, K), (N, K, 8) and (N, 2, 2, bins) or None."""

    areas: np.ndarray
    boundary: np.ndarray
    confidence: np.ndarray | None

    @classmethod
    def of(cls, results: Results) -> '_Stack':
        counts = [one.counts for one in results.images]
        confidence = [one.confidence for one in counts if one.confidence is not None]
        return cls(
            np.stack([class_areas(one.confusion) for one in counts]),
            np.stack([one.boundary for one in counts]),
            np.stack(confidence) if len(confidence) == len(counts) else None,
        )

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics (R,) and 'class IoU' (R, K) of resamples, weights (R, N)."""
        areas, boundary = _weighted(weights, self.areas), _weighted(weights, self.boundary)
        confidence = None if self.confidence is None else _weighted(weights, self.confidence)
        metrics = mean_metrics(areas, boundary, confidence)
        return {**metrics, 'class IoU': report_metrics(areas, boundary)['IoU']}


def _weighted(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weighted sums over images, (R, ...) float64: exact for whole numbers below 2**53."""
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    return (weights.astype(np.float64) @ flat).reshape(len(weights), *counts.shape[1:])


def _change(
    name: str,
    whole: Sequence[dict[str, np.ndarray]],
    sampled: Sequence[dict[str, np.ndarray]],
    column: int | None = None,
) -> Change:
    pick = (lambda values: values) if column is None else (lambda values: values[:, column])
    values = [float(pick(one[name])[0]) for one in whole]
    base = pick(sampled[0][name])
    intervals = [_interval(pick(one[name]) - base) for one in sampled[1:]]
    return Change(tuple(values), tuple(value - values[0] for value in values[1:]), tuple(intervals))


def _interval(differences: np.ndarray) -> tuple[float, float]:
    """Percentile interval; resamples in which a class does not occur are left out."""
    known = differences[~np.isnan(differences)]
    if not known.size:
        return float('nan'), float('nan')
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def align(
    results: Sequence[Results], names: Sequence[str], *, intersection: bool
) -> tuple[Results, ...]:
    """The same results with the same images in the order of the first.

    Raises:
        DataError: see :func:`compare`.
    """
    first = results[0]
    tables = [_by_name(one, name) for one, name in zip(results, names)]
    common = [image.name for image in first.images if all(image.name in t for t in tables)]
    for name, one, table in zip(names[1:], results[1:], tables[1:]):
        if one.classes != first.classes:
            differing = f'{len(first.classes)} and {len(one.classes)}'
            if len(one.classes) == len(first.classes):
                pairs = enumerate(zip(first.classes, one.classes))
                index, (a, b) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
                differing = f'class {index} is "{a}" and "{b}"'
            raise DataError(
                f'{names[0]} and {name} were tested with other classes ({differing}): only tests '
                'of the same classes can be compared'
            )
        if not intersection and set(table) != set(tables[0]):
            raise DataError(
                f'{names[0]} was tested on {len(tables[0])} images and {name} on {len(table)}, '
                f'{len(set(tables[0]) & set(table))} of them the same: test both on the same '
                'images, or add --intersection to compare on those they have in common'
            )
    if not common:
        raise DataError(f'{", ".join(names)} have no image in common: nothing can be compared')
    for name, table in zip(names[1:], tables[1:]):
        for key in common:
            one, other = (t[key].counts.confusion.sum(axis=1) for t in (tables[0], table))
            if not np.array_equal(one, other):
                raise DataError(
                    f'the ground truth of {key} differs between {names[0]} and {name}: test both '
                    'on the same label maps'
                )
    return tuple(
        dataclasses.replace(one, images=tuple(table[key] for key in common))
        for one, table in zip(results, tables)
    )


def _by_name(results: Results, name: str) -> dict[str, TestedImage]:
    table = {image.name: image for image in results.images}
    if len(table) != len(results.images):
        raise DataError(f'{name} names an image twice: test again, with every image once')
    return table


def _settings(results: Sequence[Results]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for kind in ('protocol', 'config'):
        tables = [getattr(one, kind) for one in results]
        for key in dict.fromkeys(key for table in tables for key in table):
            values = [table.get(key, '-') for table in tables]
            if len(set(values)) > 1:
                rows.append((key, *values))
    return tuple(rows)


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Writes ``compare.json`` and ``per_class.csv`` into ``folder``, which is made if need be.

    All values are in percent, null (or empty) where not defined; every entry has ``values`` of the
    tests, and ``differences`` and ``intervals`` of all but the first to the first.

    Raises:
        UserError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    classes = comparison.runs[0].classes
    content = {
        'schema': SCHEMA,
        'version': VERSION,
        'tests': list(comparison.names),
        'images': len(comparison.runs[0].images),
        'level': LEVEL,
        'metrics': {name: _record(change) for name, change in comparison.metrics.items()},
        'classes': {name: _record(one) for name, one in zip(classes, comparison.classes)},
        'settings': [list(row) for row in comparison.settings],
    }
    write_text(str(folder / NAME), json.dumps(content, indent=1) + '\n')
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    others = comparison.names[1:]
    parts = [f'{what} {name}' for name in others for what in ('difference', 'low', 'high')]
    writer.writerow(['class', *(f'IoU {name}' for name in comparison.names), *parts])
    for name, change in zip(classes, comparison.classes):
        cells = [percent(value) for value in change.values]
        for difference, interval in zip(change.differences, change.intervals):
            cells += [percent(value) for value in (difference, *interval)]
        writer.writerow([name, *cells])
    write_text(str(folder / 'per_class.csv'), text.getvalue())


def _record(change: Change) -> dict:
    return {
        'values': [percent(value) for value in change.values],
        'differences': [percent(value) for value in change.differences],
        'intervals': [[percent(value) for value in interval] for interval in change.intervals],
    }
