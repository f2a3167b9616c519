"""``python -m openseg_plugin.report.summary``: what came out of tests of one model, in one place.

Reads the label maps that ``openseg test --out`` wrote and the metrics beside them; prints them
next to the majority-class baseline, writes one table and one sheet of images.

That baseline calls every pixel the most frequent class: the least to beat.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError, UserError
from openseg_plugin.report.panel import draw_samples
from openseg_plugin.utils.files import parse_json


@dataclass(frozen=True)
class Baseline:
    """Score of the constant answer.

    Attributes:
        class_id: the most frequent class.
        accuracy: its fraction of the labelled pixels, percent.
        mean_iou: percent, over the classes that occur (all others than it score 0).
    """

    class_id: int
    accuracy: float
    mean_iou: float


def majority_baseline(
    labels: Iterable[np.ndarray], *, num_classes: int, ignore_index: int = 255
) -> Baseline:
    """Baseline of a set of label maps.

    Args:
        labels: maps (H, W) of class ids.
        num_classes: K.
        ignore_index: label value that is left out.

    Raises:
        ValueError: no pixel has a class.
    """
    counts = np.zeros(num_classes, np.int64)
    for label in labels:
        kept = label[label != ignore_index]
        counts += np.bincount(kept.astype(np.int64), minlength=num_classes)[:num_classes]
    total = counts.sum()
    if total == 0:
        raise ValueError('no pixel of the labels has a class')
    best = int(counts.argmax())
    # IoU of the answer "always best": its pixels over all pixels; 0 for every other class there is
    fraction = float(counts[best] / total)
    return Baseline(best, 100 * fraction, 100 * fraction / int((counts > 0).sum()))


_SHOWN = 4  # scenes on the sheet


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and writes the summary; returns the exit status."""
    args = _parser().parse_args(argv)
    try:
        description = _read_json(args.data / 'dataset.json')
        classes, palette = description['classes'], description['palette']
        metrics = {name: _read_json(args.work / name / 'metrics.json') for name in args.tests}
        labels = sorted((args.data / args.split / 'label').glob('*.png'))
        baseline = majority_baseline(map(read_map, labels), num_classes=len(classes))
        table = write_table(args.work / 'per_class.csv', metrics)
        sheet = args.work / 'samples.png'
        samples = choose_samples(labels, args.predictions)
        Image.fromarray(draw_samples(samples, palette, classes)).save(sheet)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(as_text(metrics, baseline, classes))
    print(f'\nper class   {table}\nimages    {sheet}')
    return 0


def as_text(metrics: dict[str, dict], baseline: Baseline, classes: Sequence[str]) -> str:
    """Table of classes and means: one column per test, and the baseline."""
    names = list(metrics)
    head = f'{"IoU, percent":16}' + ''.join(f'{name:>14}' for name in [*names, 'baseline'])
    lines = [head, '-' * len(head)]
    rows = [{row['Class']: row['IoU'] for row in metrics[name]['classes']} for name in names]
    for class_id, class_name in enumerate(classes):
        values = [row[class_name] for row in rows]
        if all(value is None for value in values):
            continue  # neither labelled nor predicted
        constant = baseline.accuracy if class_id == baseline.class_id else 0.0
        lines.append(f'{class_name:16}' + ''.join(map(_cell, [*values, constant])))
    lines.append(lines[1])
    for title, key, constant in (
        ('mean IoU', 'mIoU', baseline.mean_iou),
        ('pixels right', 'aAcc', baseline.accuracy),
    ):
        values = [metrics[name]['means'][key] for name in names]
        lines.append(f'{title:16}' + ''.join(map(_cell, [*values, constant])))
    lines.append(f'baseline: every pixel is called "{classes[baseline.class_id]}"')
    return '\n'.join(lines)


def write_table(path: Path, metrics: dict[str, dict]) -> Path:
    """CSV with one row per class, one IoU column per test; returns its path."""
    columns = {
        name: [row['IoU'] for row in content['classes']] for name, content in metrics.items()
    }
    classes = [row['Class'] for row in next(iter(metrics.values()))['classes']]
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['class', *columns])
        writer.writerows(zip(classes, *columns.values()))
    return path


def choose_samples(
    labels: Sequence[Path], predictions: Path
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, label and prediction of the scenes whose labels hold the most classes.

    Raises:
        DataError: there are no labels.
    """
    if not labels:
        raise DataError('there are no label maps to draw: is the dataset where --data says?')
    rich = sorted(labels, key=lambda path: -len(np.unique(read_map(path))))[:_SHOWN]
    return [
        (
            read_map(path.parent.parent / 'image' / path.name),
            read_map(path),
            read_map(predictions / path.name),
        )
        for path in sorted(rich)
    ]


def read_map(path: Path) -> np.ndarray:
    """An image file as it is: (H, W) label values or (H, W, 3) RGB.

    Raises:
        DataError: it is missing or broken.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error}): run the test again') from error


def _cell(value: float | None) -> str:
    return f'{"-":>14}' if value is None else f'{value:14.2f}'


def _read_json(path: Path) -> dict:
    try:
        return parse_json(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DataError(f'{path} cannot be read ({error}): run the step before again') from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m openseg_plugin.report.summary', description='Sum up tests of one model.'
    )
    parser.add_argument('work', type=Path, help='work folder of the tests; gets the files')
    parser.add_argument('--data', type=Path, required=True, help='converted dataset')
    parser.add_argument('--split', default='val', help='split that was tested (val)')
    parser.add_argument('--predictions', type=Path, required=True, help='folder of --out')
    parser.add_argument(
        '--tests', nargs='+', default=['test', 'test_aug'], help='folders with metrics.json'
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
