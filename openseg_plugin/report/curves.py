"""Curves of training runs from the scalars files that mmengine writes, ours and stock ones alike.

A run is a work folder; each start of the same training is one session in it. Sessions are joined:
where a later one begins, it replaces what an earlier one had written from there on.
"""

import ast
import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.report import SMOOTHING
from openseg_plugin.report.charts import Axes, Mark, Series, line_chart
from openseg_plugin.report.drawing import MARK, mark_legend, paper
from openseg_plugin.report.page import readable, write_page
from openseg_plugin.report.text import draw_text, line_height, text_width
from openseg_plugin.utils.files import atomic_write, write_text

SCALARS = 'scalars.json'
_FEW = 50  # points up to which an average would show its delay more than the trend
_COUNTERS = {'step', 'iter', 'epoch', 'data_time', 'time', 'eta'}
_SPEED, _ITERATIONS = 'images/s', 'iterations/s'
# Scalars in the order of the panels; others follow.
_ORDER = ('loss', 'mIoU', 'aAcc', 'mAcc', 'mFscore', 'mDice', 'lr', _SPEED, _ITERATIONS, 'memory')
# The smallest of these is the best value; of accuracies and the like the largest.
_LOW_IS_GOOD = re.compile(r'(^|[._])(loss|ECE)')
_NO_BEST = {'lr', 'base_lr', 'memory', 'grad_norm'}
# Of the PNG: dots per inch, size of titles in pixels, width of lines in points, dashes in pixels.
_DPI, _TITLE, _LINE = 110, 15, 1.4
_DASHES: tuple[tuple[float, ...], ...] = ((), (10, 4), (3, 4), (12, 4, 3, 4))


@dataclass
class Curve:
    """One scalar of one run: iterations and values (n,), NaN where it was not finite."""

    iterations: np.ndarray
    values: np.ndarray


@dataclass
class Run:
    """One training.

    Attributes:
        name: of its folder.
        curves: by name of the scalar.
        restarts: iterations at which a later session took over.
        invalid: iterations at which the loss was not finite.
    """

    name: str
    curves: dict[str, Curve]
    restarts: list[int] = field(default_factory=list)
    invalid: list[int] = field(default_factory=list)


def read_run(path: Path, *, name: str | None = None) -> Run:
    """The joined sessions of a work folder, of one session's folder, or of one scalars file.

    Raises:
        DataError: there is no scalars file, or nothing in them can be read.
    """
    files = _scalar_files(path)
    if not files:
        raise DataError(
            f'{path} holds no {SCALARS}: give the work folder of a training (runs before the '
            'first logged iteration have none)'
        )
    records: list[dict[str, float]] = []
    restarts: list[int] = []
    for file in files:
        session = _read_session(file)
        if not session:
            continue
        start = min(int(one['step']) for one in session)
        if records:
            restarts.append(start)
        records = [one for one in records if one['step'] < start] + session
    if not records:
        raise DataError(f'{files[0]} holds no scalars: train for at least one log interval')
    curves = _curves(records)
    loss = curves.get('loss')
    invalid = [] if loss is None else loss.iterations[np.isnan(loss.values)].astype(int).tolist()
    default = path.parent.name if path.is_file() else path.resolve().name
    return Run(name or default, curves, restarts, invalid)


def _scalar_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    for pattern in (SCALARS, f'vis_data/{SCALARS}', f'*/vis_data/{SCALARS}'):
        # folders of sessions are named by their time, so their order is that of the starts
        found = sorted(path.glob(pattern))
        if found:
            return found
    return []


def _read_session(file: Path) -> list[dict[str, float]]:
    """Records of one scalars file, with 'step' in iterations, in the order of the file."""
    records = list(_records(file))
    per_iteration = _images_per_iteration(file)
    last_of_epoch: dict[int, float] = {}
    session = []
    for record in records:
        is_training = 'iter' in record or 'lr' in record
        if is_training and 'epoch' in record:
            last_of_epoch[int(record['epoch'])] = record['step']
        elif not is_training:
            # a run by epochs counts its validations in epochs
            record['step'] = last_of_epoch.get(int(record['step']), record['step'])
        if is_training and record.get('time', 0) > 0:
            if per_iteration is None:
                record[_ITERATIONS] = 1 / record['time']
            else:
                record[_SPEED] = per_iteration / record['time']
        session.append(record)
    return session


def _records(file: Path) -> Iterator[dict[str, float]]:
    """Objects of a file with one JSON object per line; a line cut short by a crash is skipped."""
    try:
        lines = file.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError as error:
        raise DataError(
            f'{file} cannot be read ({error.strerror}): check its permissions'
        ) from error
    for line in lines:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(content, dict) or not isinstance(content.get('step'), int | float):
            continue
        yield {
            str(key): float(value)
            for key, value in content.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }


def _images_per_iteration(file: Path) -> int | None:
    """Images of an iteration over all processes, or None where the session does not say it."""
    config, batch_size = file.parent / 'config.py', None
    if config.is_file():
        batch_size = _batch_size(config.read_text(encoding='utf-8', errors='replace'))
    if batch_size is None:
        return None
    processes = 1
    for log in sorted(file.parent.parent.glob('*.log')):
        with log.open(encoding='utf-8', errors='replace') as lines:
            for line in lines:
                found = re.search(r'GPU number: (\d+)', line)
                if found:
                    return batch_size * max(int(found[1]), 1)
    return batch_size * processes


def _batch_size(source: str) -> int | None:
    """``train_dataloader['batch_size']`` of a dumped config; it is parsed, never executed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        if [getattr(target, 'id', None) for target in node.targets] != ['train_dataloader']:
            continue
        for name, given in _entries(node.value):
            value = getattr(given, 'value', None)
            if name == 'batch_size' and isinstance(value, int):
                return value
    return None


def _entries(node: ast.expr) -> list[tuple[Any, ast.expr]]:
    """Keys and values of a dict that is written as ``dict(key=value)`` or as ``{'key': value}``."""
    if isinstance(node, ast.Call):
        return [(keyword.arg, keyword.value) for keyword in node.keywords]
    if isinstance(node, ast.Dict):
        return [(getattr(key, 'value', None), value) for key, value in zip(node.keys, node.values)]
    return []


def _curves(records: Sequence[dict[str, float]]) -> dict[str, Curve]:
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        for key, value in record.items():
            if key not in _COUNTERS:
                points.setdefault(key, []).append((record['step'], value))
    curves = {}
    for key in sorted(points, key=_position):
        iterations, values = np.array(points[key], np.float64).T
        order = np.argsort(iterations, kind='stable')
        values = np.where(np.isfinite(values), values, np.nan)
        curves[key] = Curve(iterations[order], values[order])
    return curves


def _position(name: str) -> tuple[int, str]:
    if name in _ORDER:
        return _ORDER.index(name), name
    # pieces of the loss come after the loss, before all else
    return (0 if _LOW_IS_GOOD.search(name) else len(_ORDER)), f'~{name}'


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average without the bias of its start; NaN stay and are skipped.

    Args:
        values: (n,).
        weight: 0..1 of what came before; 0 changes nothing.
    """
    if not weight:
        return values
    result, mean, total = np.full(len(values), np.nan), 0.0, 0.0
    for index, value in enumerate(values):
        if math.isnan(value):
            continue
        mean = weight * mean + (1 - weight) * value
        total = weight * total + (1 - weight)
        result[index] = mean / total
    return result


@dataclass(frozen=True)
class Best:
    """Row of the table: the best and the last value of a scalar of a run, and where."""

    run: str
    scalar: str
    best: float
    best_step: int
    last: float
    last_step: int


def best_values(runs: Sequence[Run]) -> list[Best]:
    """Best and last value of every scalar but those that have no best one, such as lr."""
    rows = []
    for name in scalar_names(runs):
        for run in runs:
            curve = run.curves.get(name)
            if curve is None or name in _NO_BEST or np.isnan(curve.values).all():
                continue
            find = np.nanargmin if _LOW_IS_GOOD.search(name) else np.nanargmax
            best, last = int(find(curve.values)), int(np.flatnonzero(~np.isnan(curve.values))[-1])
            rows.append(
                Best(
                    run.name,
                    name,
                    float(curve.values[best]),
                    int(curve.iterations[best]),
                    float(curve.values[last]),
                    int(curve.iterations[last]),
                )
            )
    return rows


def scalar_names(runs: Sequence[Run]) -> list[str]:
    """Names of all scalars in the order of the panels."""
    return sorted({name for run in runs for name in run.curves}, key=_position)


def smoothed(name: str, curve: Curve, weight: float) -> np.ndarray:
    """Values to draw: averaged for losses and accuracies of training, else those of the curve."""
    is_noisy = bool(_LOW_IS_GOOD.search(name)) or 'acc_seg' in name or name == 'grad_norm'
    if not weight or not is_noisy or len(curve.values) <= _FEW:
        return curve.values
    return smooth(curve.values, weight)


def write_csv(path: Path, runs: Sequence[Run]) -> None:
    """All points, not smoothed: run, scalar, step, value (empty where it was not finite)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['run', 'scalar', 'step', 'value'])
    for run in runs:
        for name, curve in run.curves.items():
            for step, value in zip(curve.iterations, curve.values):
                shown = '' if math.isnan(value) else f'{value:.8g}'
                writer.writerow([readable(run.name), name, int(step), shown])
    write_text(str(path), text.getvalue())


def write_png(path: Path, runs: Sequence[Run], *, smoothing: float = SMOOTHING) -> None:
    """One panel per scalar, one color per run; needs matplotlib.

    Args:
        path: file to write.
        runs: the runs.
        smoothing: weight of :func:`smooth`; raw values of smoothed scalars are drawn faintly.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    names = scalar_names(runs)
    columns = min(3, max(len(names), 1))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.1 * rows + 0.5), dpi=_DPI, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(' ', fontsize=10)
        axes.set_xlabel('iteration', fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        for number, run in enumerate(runs):
            _plot(axes, run, name, number, smoothing)
    marks = 'Faint: raw values. Dotted lines: restarts. Crosses: the loss was not finite.'
    figure.supxlabel(f'{smoothing_text(smoothing)} {marks}', fontsize=8)
    canvas.draw()
    sheet = np.array(canvas.buffer_rgba())[..., :3]
    # names go through the drawing module, whose fonts have more characters than matplotlib's
    for axes, name in zip(figure.axes, names):
        box = axes.title.get_window_extent()
        left = round((box.x0 + box.x1 - text_width(name, _TITLE)) / 2)
        top = round(len(sheet) - box.y0) - line_height(_TITLE)
        draw_text(sheet, name, (left, top), size=_TITLE)
    styles = map(_style, range(len(runs)))
    keys = [_line_mark(to_rgb(color), dashes) for color, dashes in styles]
    legend = mark_legend([run.name for run in runs], keys, width=sheet.shape[1])
    with atomic_write(path) as temporary:
        Image.fromarray(np.concatenate([legend, sheet])).save(temporary, format='png')


def _style(number: int) -> tuple[str, tuple[float, ...]]:
    """Color of a run, and lengths of its dashes and of the gaps between them in pixels."""
    return f'C{number % 10}', _DASHES[number % len(_DASHES)]


def _line_mark(color: Sequence[float], dashes: Sequence[float]) -> np.ndarray:
    """A piece of a line for the legend, (MARK, 36, 3) uint8."""
    mark = paper(MARK, 36)
    middle = mark[MARK // 2 - 1 : MARK // 2 + 1]
    ends = np.cumsum(dashes or (36,))
    position = np.arange(36) % ends[-1]
    # dashes and gaps take turns
    middle[:, np.searchsorted(ends, position, side='right') % 2 == 0] = np.round(
        255 * np.asarray(color)
    )
    return mark


def _plot(axes: Any, run: Run, name: str, number: int, smoothing: float) -> None:
    curve = run.curves.get(name)
    if curve is None:
        return
    color, dashes = _style(number)
    line = {'dashes': [72 / _DPI / _LINE * length for length in dashes]} if dashes else {}
    few = '.' if len(curve.iterations) <= 40 else None
    shown = smoothed(name, curve, smoothing)
    if shown is not curve.values:
        axes.plot(curve.iterations, curve.values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(curve.iterations, shown, color=color, linewidth=_LINE, marker=few, **line)
    for step in run.restarts:
        axes.axvline(step, color=color, linestyle=':', linewidth=1)
    if name == 'loss' and run.invalid:
        top = np.full(len(run.invalid), 0.97)
        axes.plot(run.invalid, top, 'x', color=color, transform=axes.get_xaxis_transform())


def smoothing_text(smoothing: float) -> str:
    """How the lines were smoothed."""
    if not smoothing:
        return 'No smoothing.'
    return (
        f'Losses and training accuracies of more than {_FEW} points: exponential moving average, '
        f'weight {smoothing:g}; all else as logged.'
    )


def write_curves_page(
    folder: Path, runs: Sequence[Run], *, smoothing: float = SMOOTHING, command: str = ''
) -> None:
    """Writes ``index.html`` with all panels, the table of best values and the command, if any."""
    charts = []
    for name in scalar_names(runs):
        series = [
            Series(
                readable(run.name),
                run.curves[name].iterations,
                smoothed(name, run.curves[name], smoothing),
            )
            for run in runs
            if name in run.curves
        ]
        marks = [Mark(step, f'{run.name}: restart') for run in runs for step in run.restarts]
        if name == 'loss':
            marks += [
                Mark(step, f'{run.name}: loss not finite', is_bad=True)
                for run in runs
                for step in run.invalid
            ]
        charts.append(line_chart(series, Axes(name, 'iteration', ''), marks=marks))
    write_page(
        folder,
        'curves.html.jinja',
        title='Training curves',
        runs=[
            {
                'name': readable(run.name),
                'restarts': run.restarts,
                'invalid': run.invalid[:20],
                'num_invalid': len(run.invalid),
            }
            for run in runs
        ],
        charts=charts,
        best=best_values(runs),
        smoothing=smoothing_text(smoothing),
        command=readable(command),
    )
