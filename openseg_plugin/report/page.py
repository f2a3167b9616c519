"""Pages: one folder that opens from disk, without server and without network.

Templates are jinja2 with escaping on, so names of files and classes are text whatever they hold;
scripts get them as JSON and write them as text. One stylesheet and one script serve all pages.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from openseg_plugin import __version__
from openseg_plugin.evaluation.confusion import class_areas
from openseg_plugin.report import MAX_BYTES, MAX_IMAGES, PAGE
from openseg_plugin.report.charts import Axes, Mark, Series, bar_chart, line_chart
from openseg_plugin.report.collect import CONFIDENCES
from openseg_plugin.report.compare import NAME as COMPARISON
from openseg_plugin.report.compare import RESAMPLES, Change, Comparison
from openseg_plugin.report.metrics import (
    BOUNDARY_NAMES,
    CLASS_METRICS,
    Totals,
    ratio,
    reliability,
    report_metrics,
    threshold_curve,
    total_metrics,
)
from openseg_plugin.report.results import NAME as REPORT
from openseg_plugin.report.results import SAMPLING, TABLES, Results, TestedImage, image_metrics
from openseg_plugin.report.samples import SampleFiles, write_samples
from openseg_plugin.utils.files import write_text

_ASSETS = ('page.css', 'page.js')
_TITLES = {
    'aAcc': 'pixels right',
    'mIoU': 'mean IoU',
    'mAcc': 'mean recall',
    'mPrecision': 'mean precision',
    'mFscore': 'mean F-score',
    'mBF@1': 'boundary F, 1 px',
    'mBF@3': 'boundary F, 3 px',
    'mBF@5': 'boundary F, 5 px',
    'confidence': 'mean confidence',
    'ECE': 'calibration error (ECE)',
}

# What a larger value means: -1 worse, 0 neither; all others: better.
_SIGNS = {'ECE': -1, 'confidence': 0}


def write_report(
    folder: Path,
    results: Results,
    *,
    max_images: int = MAX_IMAGES,
    max_bytes: int = MAX_BYTES,
) -> list[str]:
    """Writes ``index.html`` and what it needs for the results of one test.

    Args:
        folder: made if need be; results are expected to be written already.
        results: of the test.
        max_images: how many images are drawn; metrics of the others are still listed.
        max_bytes: of the whole folder.

    Returns:
        Sentences about files that could not be drawn.

    Raises:
        UserError: the disk is full.
    """
    totals = results.totals()
    drawn = choose_images(results, max_images)
    files = [
        SampleFiles(i, one.image, one.label, (one.prediction,), one.size)
        for i, one in enumerate(results.images)
        if i in drawn
    ]
    page = Page(folder, 'report.html.jinja', _report_context(results, totals))
    page.write_data(page_data([('prediction', results)], drawn))
    problems = write_samples(
        folder,
        files,
        totals.confusion.sum(axis=1),
        ignore_index=results.ignore_index,
        max_bytes=max_bytes - page.size(),
    )
    page.write(problems=_few(problems))
    return problems


def write_compare_page(
    folder: Path,
    comparison: Comparison,
    *,
    max_images: int = MAX_IMAGES,
    max_bytes: int = MAX_BYTES,
    command: str = '',
) -> list[str]:
    """Writes ``index.html`` of a comparison; arguments and result as :func:`write_report`.

    ``command`` is the one that made it, if any.
    """
    runs = list(zip(comparison.names, comparison.runs))
    first = comparison.runs[0]
    drawn = most_changed(comparison.runs, max_images)
    files = [
        SampleFiles(
            i,
            one.image,
            one.label,
            tuple(results.images[i].prediction for results in comparison.runs),
            one.size,
        )
        for i, one in enumerate(first.images)
        if i in drawn
    ]
    rows = class_rows(first, first.totals())
    classes = [
        {**row, 'sign': 1, 'change': change} for row, change in zip(rows, comparison.classes)
    ]
    totals = [results.totals() for results in comparison.runs]
    context = {
        'title': 'Comparison of tests',
        'names': [readable(name) for name in comparison.names],
        'num_images': len(first.images),
        'resamples': RESAMPLES,
        'metric_rows': [
            {'name': _TITLES[name], 'color': None, 'sign': _SIGNS.get(name, 1), 'change': change}
            for name, change in comparison.metrics.items()
        ],
        'class_rows': sorted(classes, key=lambda row: _last_difference(row['change'])),
        'boundary_charts': boundary_charts(
            [(name, *one.distance) for name, one in zip(comparison.names, totals)]
        ),
        'settings': [[readable(cell) for cell in row] for row in comparison.settings],
        'command': readable(command),
    }
    page = Page(folder, 'compare.html.jinja', context)
    page.write_data(page_data(runs, drawn))
    problems = write_samples(
        folder,
        files,
        totals[0].confusion.sum(axis=1),
        ignore_index=first.ignore_index,
        max_bytes=max_bytes - page.size(),
    )
    page.write(problems=_few(problems))
    return problems


def _last_difference(change: Change) -> float:
    """Sorts losses first, classes without a value last."""
    value = change.differences[-1]
    return np.inf if np.isnan(value) else value


def most_changed(runs: Sequence[Results], number: int) -> set[int]:
    """Positions of the images whose mean IoU changed most from the first test to any other."""
    values = np.array([[image_metrics(one)['mIoU'] for one in run.images] for run in runs])
    changes = np.nan_to_num(np.abs(values[1:] - values[0])).max(axis=0)
    return {int(index) for index in np.argsort(-changes, kind='stable')[:number]}


def choose_images(results: Results, number: int) -> set[int]:
    """Positions of the images to draw: all, or the worst ones and those behind the largest errors.

    Half of them are the images with most pixels of each confusion, beginning with the most
    frequent confusion; the others are those with the lowest mean IoU.
    """
    if len(results.images) <= number:
        return set(range(len(results.images)))
    confusion = results.totals().confusion.astype(np.int64)
    np.fill_diagonal(confusion[:, :-1], 0)
    chosen: set[int] = set()
    for cell in np.argsort(-confusion, axis=None):
        row, column = np.unravel_index(cell, confusion.shape)
        if not confusion[row, column] or len(chosen) >= number // 2:
            break
        chosen.add(int(np.argmax([_pixels(one, row, column) for one in results.images])))
    worst = np.argsort([np.nan_to_num(image_metrics(one)['mIoU']) for one in results.images])
    for index in worst:
        if len(chosen) >= number:
            break
        chosen.add(int(index))
    return chosen


def _pixels(image: TestedImage, row: int, column: int) -> int:
    cells = image.counts.cells
    return int(cells[(cells[:, 0] == row) & (cells[:, 1] == column), 2].sum())


# What commands write into the folder of a page beside the page: files, and folders of files.
_FILES = (REPORT, COMPARISON, *TABLES)
_FOLDERS = ('assets', 'labels/ground_truth', 'labels/prediction', 'images')


def folder_size(folder: Path) -> int:
    """Bytes of the files that belong to a page, without those that are replaced at the end."""
    own = [folder / name for name in _FILES]
    own += [path for name in _FOLDERS for path in (folder / name).rglob('*')]
    return sum(path.stat().st_size for path in own if path.is_file())


def images_text(number: int) -> str:
    """Such as '1 image' and '2,000 images'."""
    return f'{number:,} image' if number == 1 else f'{number:,} images'


def page_data(runs: Sequence[tuple[str, Results]], drawn: Iterable[int]) -> dict:
    """What the script of a page knows; images are those of the runs, which agree in them."""
    first = runs[0][1]
    known = set(drawn)
    images = []
    for index, image in enumerate(first.images):
        record: dict = {'name': readable(image.name), 'size': image.size, 'drawn': index in known}
        record['runs'] = [_run_record(results.images[index]) for _, results in runs]
        images.append(record)
    return {
        'classes': [readable(name) for name in first.classes],
        'palette': first.palette,
        'runs': [readable(name) for name, _ in runs],
        'images': images,
    }


def _run_record(image: TestedImage) -> dict:
    metrics = {
        name: None if np.isnan(value) else round(100 * value, 3)
        for name, value in image_metrics(image).items()
    }
    return {'cells': image.counts.cells.ravel().tolist(), 'metrics': metrics}


@dataclass(frozen=True)
class Page:
    """A page that is written in two steps, as its images get what the rest of it leaves.

    Attributes:
        folder: made if need be.
        template: of ``index.html``.
        context: what the template needs.
    """

    folder: Path
    template: str
    context: dict[str, Any]

    def write_data(self, data: dict) -> None:
        """Writes the stylesheet, the script and its data."""
        assets = self.folder / 'assets'
        assets.mkdir(parents=True, exist_ok=True)
        for name in _ASSETS:
            write_text(str(assets / name), asset(name))
        # "<" as an escape: the file stays harmless also where its text is pasted into a page
        text = json.dumps(data, separators=(',', ':')).replace('<', '\\u003c')
        write_text(str(assets / 'data.js'), f'window.OPENSEG_DATA = {text};\n')

    def write(self, **context: object) -> None:
        """Writes ``index.html``, the last of all."""
        write_text(str(self.folder / PAGE), self._text(**context))

    def size(self) -> int:
        """Bytes of all but the images, with some for sentences about them."""
        return folder_size(self.folder) + len(self._text(problems=[]).encode()) + 5000

    def _text(self, **context: object) -> str:
        template = environment().get_template(self.template)
        return template.render(version=__version__, **self.context, **context)


def write_page(folder: Path, template: str, **context: object) -> None:
    """Writes a page without images of a test: ``index.html``, the stylesheet and the script."""
    page = Page(folder, template, context)
    page.write_data({'classes': [], 'palette': [], 'runs': [], 'images': []})
    page.write()


def asset(name: str) -> str:
    """A stylesheet or script of the pages."""
    return (resources.files(__package__) / 'templates' / name).read_text(encoding='utf-8')


def environment() -> jinja2.Environment:
    """Templates with escaping on; undefined names are errors."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, 'templates'),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters['percent'] = lambda value: '-' if np.isnan(value) else f'{100 * value:.2f}'
    env.filters['count'] = lambda value: f'{value:,}'
    env.filters['images'] = images_text
    env.filters['readable'] = readable
    return env


def readable(text: str) -> str:
    """Text that every file may hold: bytes of names that are no text are shown as escapes."""
    return text.encode('utf-8', 'backslashreplace').decode('utf-8')


def _report_context(results: Results, totals: Totals) -> dict:
    means = total_metrics(totals)
    return {
        'title': 'Test report',
        'headline': [(_TITLES[name], value) for name, value in means.items()],
        'protocol': _protocol(results, totals),
        'class_names': CLASS_METRICS,
        'class_rows': class_rows(results, totals),
        'num_images': len(results.images),
        'boundary_charts': boundary_charts(_boundary_lines(totals)),
        'boundary_means': [(name, means[f'm{name}']) for name in BOUNDARY_NAMES],
        'confidence': _confidence(totals),
        'sampling': results.protocol.get(SAMPLING),
        'threshold': _threshold(results, totals),
        'distribution': class_distribution(results, totals),
    }


def _few(problems: Sequence[str], number: int = 8) -> list[str]:
    rest = len(problems) - number
    shown = [readable(problem) for problem in problems[:number]]
    return [*shown, f'and {rest} more'] if rest > 0 else shown


def _protocol(results: Results, totals: Totals) -> list[tuple[str, str]]:
    rows = [(key, readable(value)) for key, value in results.protocol.items()]
    labelled = int(totals.confusion.sum())
    rows.append(('images', f'{totals.images:,} with {labelled:,} labelled pixels'))
    if totals.seconds > 0:
        rows.append(('speed', f'{totals.images / totals.seconds:.2f} images/s'))
    return rows


def class_rows(results: Results, totals: Totals) -> list[dict]:
    """Name, color and metrics of every class."""
    metrics = report_metrics(class_areas(totals.confusion), totals.boundary)
    labelled = totals.confusion.sum(axis=1)
    predicted = totals.confusion[:, :-1].sum(axis=0)
    return [
        {
            'id': index,
            'name': readable(name),
            'color': '#{:02x}{:02x}{:02x}'.format(*results.palette[index]),
            'values': [float(metrics[metric][index]) for metric in CLASS_METRICS],
            'labelled': int(labelled[index]),
            'predicted': int(predicted[index]),
        }
        for index, name in enumerate(results.classes)
    ]


def class_distribution(results: Results, totals: Totals) -> list[dict]:
    """Fraction of the labelled pixels that has, and that is predicted to have, each class."""
    rows = class_rows(results, totals)
    total = max(int(totals.confusion.sum()), 1)
    largest = max([row[key] for row in rows for key in ('labelled', 'predicted')] + [1])
    for row in rows:
        for key in ('labelled', 'predicted'):
            row[f'{key}_fraction'] = row[key] / total
            row[f'{key}_width'] = 100 * row[key] / largest
    return sorted(rows, key=lambda row: -row['labelled'])


def _boundary_lines(totals: Totals) -> list[tuple[str, np.ndarray, np.ndarray]]:
    pixels, wrong = totals.distance
    if totals.distance_before is None:
        return [('prediction', pixels, wrong)]
    return [('with SegFix', pixels, wrong), ('without SegFix', pixels, totals.distance_before)]


def boundary_charts(lines: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> list[Markup]:
    """Charts of errors by distance to the nearest boundary.

    Args:
        lines: name, labelled pixels and wrong pixels by distance, (bins,) each.
    """
    number = len(lines[0][1])
    if not lines[0][1].sum():
        return []
    x, x_range = np.arange(number), (0, number)
    fractions = [Series(name, x + 0.5, 100 * ratio(bad, all_)) for name, all_, bad in lines]
    sums = [
        Series(name, x[:-1] + 1, 100 * ratio(bad.cumsum(), np.full(number, bad.sum()))[:-1])
        for name, _, bad in lines
    ]
    highest = max(float(np.nan_to_num(one.y).max()) for one in fractions)
    return [
        line_chart(
            fractions,
            Axes(
                'How many pixels are wrong, by distance to a boundary of the ground truth',
                'distance in pixels (last point: and more)',
                'wrong, %',
                x_range,
                (0, max(1.05 * highest, 1e-3)),
            ),
        ),
        line_chart(
            sums,
            Axes(
                'How many of the wrong pixels lie near a boundary',
                'within so many pixels of a boundary',
                'of the wrong pixels, %',
                x_range,
                (0, 100),
            ),
        ),
    ]


def _confidence(totals: Totals) -> list[Markup]:
    if totals.confidence is None:
        return []
    counts = totals.confidence
    edges = np.arange(CONFIDENCES) / CONFIDENCES
    total = counts[:, 0].sum()
    wrong, right = 100 * ratio(counts[:, 0], np.full((2, CONFIDENCES), total))
    _, means, accuracies = reliability(counts)
    known = ~np.isnan(means)
    return [
        bar_chart(
            [Series('right', edges, right), Series('wrong', edges, wrong)],
            Axes('Confidence of right and of wrong pixels', 'confidence', 'pixels, %', (0, 1)),
            width=1 / CONFIDENCES,
        ),
        line_chart(
            [Series('pixels right', means[known], accuracies[known])],
            Axes('Reliability', 'confidence', 'fraction that is right', (0, 1), (0, 1)),
            diagonal=True,
        ),
    ]


def threshold_option(config: Mapping[str, str]) -> str | None:
    """Key of the threshold of a one-channel model; of a list of heads, the last one predicts.

    None for an exported file, whose threshold was settled when it was exported.

    Args:
        config: values as text by dotted key.
    """
    if 'ExportedSegmentor' in config.get('model.type', ''):
        return None
    found = [re.match(r'model\.decode_head\.(\d+)\.', key) for key in config]
    last = max((int(one[1]) for one in found if one), default=None)
    return 'model.decode_head.threshold' if last is None else f'model.decode_head.{last}.threshold'


def _threshold(results: Results, totals: Totals) -> dict | None:
    if totals.foreground is None:
        return None
    curve = threshold_curve(totals.foreground)
    best = curve.best
    option = threshold_option(results.config)
    thresholds = curve.thresholds
    return {
        'best': f'{thresholds[best]:.2f}',
        'iou': float(curve.iou[best]),
        'option': option and f'--cfg-options {option}={thresholds[best]:.2f}',
        'charts': [
            line_chart(
                [Series('foreground', curve.recall, curve.precision)],
                Axes(
                    'Precision and recall of the foreground', 'recall', 'precision', (0, 1), (0, 1)
                ),
            ),
            line_chart(
                [
                    Series('IoU', thresholds, curve.iou),
                    Series('precision', thresholds, curve.precision),
                    Series('recall', thresholds, curve.recall),
                ],
                Axes('By threshold', 'threshold', 'fraction', (0, 1), (0, 1)),
                marks=[Mark(float(thresholds[best]), f'best: {thresholds[best]:.2f}')],
            ),
        ],
    }
