"""Test results on disk: ``report.json`` and three tables, written and read.

``report.json`` (schema ``openseg_plugin.report``, version 1; fields are only ever added) holds

- ``classes``, ``palette``, ``ignore_index``; ``protocol`` and ``config``: what the tester
  says about itself and the values of its config by dotted key, as text;
- ``metrics``: means in percent, null where not defined;
- ``images``: one object each with ``name``, ``size`` [height, width], ``seconds``; the paths
  ``image``, ``label`` and ``prediction`` (null, or relative to the folder, or absolute), the last
  two being files of class ids; and the counts of ``report.collect.ImageCounts``:
  ``confusion`` as [true class, predicted class, pixels] (predicted class K: none) and ``boundary``
  as [class, 8 counts], both without rows of zeros; ``distance``, ``distance_before``,
  ``confidence`` and ``foreground`` as nested lists, or null.

Beside it ``per_image.csv``, ``per_class.csv`` and ``confusion.csv`` (rows: ground truth).
Percentages have 4 decimals, empty cells are undefined values.
"""

import argparse
import csv
import io
import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.evaluation.confusion import class_areas
from openseg_plugin.report.collect import (
    CONFIDENCES,
    DISTANCES,
    RADII,
    THRESHOLDS,
    ImageCounts,
)
from openseg_plugin.report.metrics import (
    BOUNDARY_NAMES,
    CLASS_METRICS,
    Totals,
    mean_metrics,
    report_metrics,
    sum_counts,
    total_metrics,
)
from openseg_plugin.utils.files import parse_json, write_text

_PACKAGES = ('openseg_plugin', 'torch', 'mmengine', 'mmsegmentation', 'mmcv', 'mmcv-lite')
SCHEMA, VERSION = 'openseg_plugin.report', 1
NAME = 'report.json'
TABLES = ('per_image.csv', 'per_class.csv', 'confusion.csv')
SAMPLING = 'confidence measured at'
"""Row of the protocol: of how many pixels."""
_SHAPES = {
    'distance': (2, DISTANCES),
    'distance_before': (DISTANCES,),
    'confidence': (2, 2, CONFIDENCES),
    'foreground': (2, THRESHOLDS),
}


@dataclass(frozen=True)
class TestedImage:
    """One image of a test.

    Attributes:
        name: unique, such as the path below the folder of the images.
        size: (H, W).
        counts: what was counted.
        image: image file, or None.
        label: file of class ids of the ground truth, or None.
        prediction: file of predicted class ids, or None.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    name: str
    size: tuple[int, int]
    counts: ImageCounts
    image: Path | None = None
    label: Path | None = None
    prediction: Path | None = None


@dataclass(frozen=True)
class Results:
    """All that is known of a test.

    Attributes:
        classes: K names.
        palette: K colors, RGB 0..255.
        ignore_index: label value without a class.
        images: in the order of the dataset.
        protocol: how it was tested, as text by name: config, checkpoint, options, versions.
        config: values of the config as text by dotted key, for comparisons.
    """

    classes: tuple[str, ...]
    palette: tuple[tuple[int, ...], ...]
    ignore_index: int
    images: tuple[TestedImage, ...]
    protocol: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)

    def totals(self) -> Totals:
        """Sum of the counts of all images."""
        return sum_counts([one.counts for one in self.images], num_classes=len(self.classes))


def command_and_versions() -> dict[str, str]:
    """Rows of a protocol: versions of what took part, and the command that runs."""
    found = [f'python {platform.python_version()}']
    for package in _PACKAGES:
        try:
            found.append(f'{package} {version(package)}')
        except PackageNotFoundError:
            continue
    # the first word may be two, such as "openseg report"
    return {'versions': ', '.join(found), 'command': f'{sys.argv[0]} {shlex.join(sys.argv[1:])}'}


def given_options(args: argparse.Namespace, names: Sequence[str]) -> dict[str, str]:
    """Rows of a protocol: options that were given, as text."""
    values = {name: getattr(args, name, None) for name in names}
    return {
        name.replace('_', ' '): str(value)
        for name, value in values.items()
        if value not in (None, False)
    }


def percent(value: float) -> float | None:
    """A fraction in percent with 4 decimals; None for NaN."""
    return None if math.isnan(value) else round(100 * float(value), 4)


def image_metrics(image: TestedImage) -> dict[str, float]:
    """aAcc, mIoU, BF@1, BF@3, BF@5, confidence and ECE of one image, fractions or NaN."""
    counts = image.counts
    metrics = mean_metrics(class_areas(counts.confusion), counts.boundary, counts.confidence)
    names = {'aAcc': 'aAcc', 'mIoU': 'mIoU', **{name: f'm{name}' for name in BOUNDARY_NAMES}}
    names |= {name: name for name in ('confidence', 'ECE')}
    return {name: float(metrics.get(key, math.nan)) for name, key in names.items()}


def write_results(folder: Path, results: Results) -> None:
    """Writes ``report.json`` and the tables into ``folder``, which is made if need be.

    Raises:
        UserError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    totals = results.totals()
    content = {
        'schema': SCHEMA,
        'version': VERSION,
        'classes': list(results.classes),
        'palette': [list(color) for color in results.palette],
        'ignore_index': results.ignore_index,
        'protocol': results.protocol,
        'config': results.config,
        'metrics': {name: percent(value) for name, value in total_metrics(totals).items()},
        'images': [_image_record(one, folder) for one in results.images],
    }
    _write_csv(folder / 'per_image.csv', _per_image(results))
    _write_csv(folder / 'per_class.csv', _per_class(results, totals))
    _write_csv(folder / 'confusion.csv', confusion_rows(results.classes, totals.confusion))
    # last: a folder with this file is complete
    write_text(str(folder / NAME), json.dumps(content, separators=(',', ':')) + '\n')


def _image_record(image: TestedImage, folder: Path) -> dict:
    counts = image.counts
    present = np.flatnonzero(counts.boundary.any(axis=1))
    boundary = np.concatenate([present[:, None], counts.boundary[present]], axis=1)
    record = {
        'name': image.name,
        'size': list(image.size),
        'seconds': round(counts.seconds, 4),
        **{
            key: None if path is None else _stored_path(path, folder)
            for key, path in (
                ('image', image.image),
                ('label', image.label),
                ('prediction', image.prediction),
            )
        },
        'confusion': counts.cells.tolist(),
        'boundary': boundary.tolist(),
    }
    for name in _SHAPES:
        values = getattr(counts, name)
        record[name] = None if values is None else values.tolist()
    return record


def _stored_path(path: Path, folder: Path) -> str:
    """Relative to the folder where it lies inside, so that the folder can be moved."""
    absolute, root = os.path.abspath(path), os.path.abspath(folder)
    inside = absolute.startswith(root + os.sep)
    return Path(os.path.relpath(absolute, root) if inside else absolute).as_posix()


def _per_image(results: Results) -> Iterable[Sequence]:
    names = ('aAcc', 'mIoU', *BOUNDARY_NAMES, 'confidence', 'ECE')
    classes = [f'IoU {name}' for name in results.classes]
    yield (
        'image',
        'height',
        'width',
        'labelled_pixels',
        'wrong_pixels',
        *names,
        'seconds',
        *classes,
    )
    for image in results.images:
        metrics = image_metrics(image)
        confusion = image.counts.confusion
        labelled = int(confusion.sum())
        ious = report_metrics(class_areas(confusion), image.counts.boundary)['IoU']
        yield (
            image.name,
            *image.size,
            labelled,
            labelled - int(np.trace(confusion[:, :-1])),
            *(percent(metrics[name]) for name in names),
            round(image.counts.seconds, 4),
            *(percent(value) for value in ious),
        )


def _per_class(results: Results, totals: Totals) -> Iterable[Sequence]:
    metrics = report_metrics(class_areas(totals.confusion), totals.boundary)
    yield ('class', *CLASS_METRICS, 'labelled_pixels', 'predicted_pixels')
    labelled, predicted = totals.confusion.sum(axis=1), totals.confusion[:, :-1].sum(axis=0)
    for index, name in enumerate(results.classes):
        values = (percent(metrics[metric][index]) for metric in CLASS_METRICS)
        yield (name, *values, int(labelled[index]), int(predicted[index]))


def confusion_rows(classes: Sequence[str], confusion: np.ndarray) -> Iterable[Sequence]:
    """Rows of ``confusion.csv``: a head, then the pixels of every true class."""
    yield ('ground truth', *classes, 'no class')
    for name, row in zip(classes, confusion.tolist()):
        yield (name, *row)


def _write_csv(path: Path, rows: Iterable[Sequence]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    # names of files may hold bytes that are no text
    safe = text.getvalue().encode('utf-8', 'backslashreplace').decode('utf-8')
    write_text(str(path), safe)


def read_results(folder: Path) -> Results:
    """Results of a folder that :func:`write_results` has written.

    Raises:
        DataError: there are none, they are broken, or of a newer version.
    """
    path = folder / NAME
    try:
        content = parse_json(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise DataError(
            f'{folder} holds no {NAME}: give a folder written by "test --report", or label maps '
            'with --labels and --gt'
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f'{path} cannot be read ({error}): run the test again') from error
    if not isinstance(content, dict) or content.get('schema') != SCHEMA:
        raise DataError(f'{path} is no report ({SCHEMA}): give the folder of a test')
    if content.get('version') != VERSION:
        raise DataError(
            f'{path} has version {content.get("version")}, this program reads {VERSION}: '
            'use the program that wrote it, or run the test again'
        )
    try:
        return _parse(content, folder)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise DataError(f'{path} is damaged ({error!r}): run the test again') from error


def _parse(content: dict, folder: Path) -> Results:
    classes = tuple(str(name) for name in content['classes'])
    palette = np.array(content['palette'], np.int64).reshape(-1, 3)
    if len(palette) != len(classes) or (palette < 0).any() or (palette > 255).any():
        raise ValueError(f'{len(palette)} colors for {len(classes)} classes')
    return Results(
        classes=classes,
        palette=tuple(tuple(int(value) for value in color) for color in palette),
        ignore_index=int(content['ignore_index']),
        images=tuple(_parse_image(one, folder, len(classes)) for one in content['images']),
        protocol={str(key): str(value) for key, value in content['protocol'].items()},
        config={str(key): str(value) for key, value in content['config'].items()},
    )


def _parse_image(record: dict, folder: Path, num_classes: int) -> TestedImage:
    cells = np.array(record['confusion'], np.int64).reshape(-1, 3)
    if cells.size and (
        cells.min() < 0 or (cells.max(0)[:2] >= (num_classes, num_classes + 1)).any()
    ):
        raise ValueError('a class that does not exist')
    boundary = np.zeros((num_classes, 2 + 2 * len(RADII)), np.int64)
    for class_id, *counts in record['boundary']:
        boundary[range(num_classes)[class_id]] = np.array(counts).reshape(boundary.shape[1])
    arrays = {
        name: None if record[name] is None else np.array(record[name], np.int64).reshape(shape)
        for name, shape in _SHAPES.items()
    }
    distance = arrays.pop('distance')
    if distance is None:
        raise ValueError('distance is missing')
    height, width = record['size']
    paths = {
        key: None if record[key] is None else folder / record[key]
        for key in ('image', 'label', 'prediction')
    }
    return TestedImage(
        name=str(record['name']),
        size=(int(height), int(width)),
        counts=ImageCounts(cells, boundary, distance, **arrays, seconds=float(record['seconds'])),
        **paths,
    )
