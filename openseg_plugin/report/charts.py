"""Charts for pages as inline SVG: they follow the page's light or dark colors and print sharply.

Colors come from the stylesheet (classes ``s0`` to ``s7``); lines also differ in their dashes. Every
mark has a tooltip, every chart a text for those who cannot see it.

The confusion matrix is drawn as a PNG, too: rows ground truth, columns prediction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from openseg_plugin.report.drawing import GAP, QUIET, TEXT, paper, text_line
from openseg_plugin.report.metrics import ratio
from openseg_plugin.report.text import INK, draw_text, line_height, text_mask, text_width

_WIDTH, _HEIGHT = 520, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 44
_DIGIT = 7.5  # width of a digit, at most
_POINTS = 400  # of a line; more are thinned, keeping lowest and highest of every stretch


@dataclass(frozen=True)
class Series:
    """A line or a set of bars: its name, and x and y (n,); NaN in y is a gap."""

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Mark:
    """A vertical line at x with a tooltip; ``is_bad`` ones are drawn as warnings."""

    x: float
    text: str
    is_bad: bool = False


@dataclass(frozen=True)
class Axes:
    """What a chart shows: title, texts of both axes, and their ranges (None: of the data)."""

    title: str
    x: str
    y: str
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


def line_chart(
    series: Sequence[Series],
    axes: Axes,
    *,
    marks: Sequence[Mark] = (),
    diagonal: bool = False,
) -> Markup:
    """Lines over one another.

    Args:
        series: the lines.
        axes: what they show.
        marks: vertical lines, such as restarts.
        diagonal: also draw y = x.
    """
    x_range, y_range = _ranges(series, axes)
    frame = _Frame(x_range, y_range)
    parts = [frame.grid(axes)]
    if diagonal:
        low, high = max(x_range[0], y_range[0]), min(x_range[1], y_range[1])
        (x1, y1), (x2, y2) = frame.place(low, low), frame.place(high, high)
        parts.append(
            Markup('<line class="ideal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(x1, y1, x2, y2)
        )
    for mark in marks:
        left = frame.place(mark.x, y_range[0])[0]
        parts.append(
            Markup(
                '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"><title>{}</title></line>'
            ).format(
                'mark bad' if mark.is_bad else 'mark',
                left,
                left,
                _TOP,
                _HEIGHT - _BOTTOM,
                mark.text,
            )
        )
    for index, one in enumerate(series):
        parts.append(_line(one, frame, index % 8))
    # a piece of each line, with its dashes
    keys = [
        Markup(
            '<svg class="key" viewBox="0 0 30 10" aria-hidden="true">'
            '<path class="line s{}" d="M0 5H30"/></svg>'
        ).format(index % 8)
        for index in range(len(series))
    ]
    return _figure(parts, axes, [one.name for one in series], keys)


def bar_chart(series: Sequence[Series], axes: Axes, *, width: float) -> Markup:
    """Bars side by side in groups; ``x`` of a series is the left edge of its group.

    Args:
        series: one kind of bar each.
        axes: what they show.
        width: of a group, in units of x.
    """
    x_range, y_range = _ranges(series, axes)
    frame = _Frame(x_range, (0.0, y_range[1]))
    parts = [frame.grid(axes)]
    each = 0.86 * width / max(len(series), 1)
    for index, one in enumerate(series):
        for x, y in zip(one.x, one.y):
            start = x + 0.07 * width + index * each
            (left, top), (right, bottom) = frame.place(start, y), frame.place(start + each, 0)
            parts.append(
                Markup(
                    '<rect class="s{}" x="{}" y="{}" width="{:.2f}" height="{:.2f}">'
                    '<title>{} {}: {}</title></rect>'
                ).format(
                    index,
                    left,
                    top,
                    right - left,
                    max(bottom - top, 0),
                    one.name,
                    _text(x),
                    _text(y),
                )
            )
    keys = [Markup('<span class="key s{}"></span>').format(index) for index in range(len(series))]
    return _figure(parts, axes, [one.name for one in series], keys)


def thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most about 400 points that show the same line: lowest and highest of equal stretches."""
    if len(x) <= _POINTS:
        return x, y
    kept: list[int] = [0, len(x) - 1]
    for part in np.array_split(np.arange(len(x)), _POINTS // 2):
        values = y[part]
        known = ~np.isnan(values)
        if known.any():
            kept += [int(part[np.nanargmin(values)]), int(part[np.nanargmax(values)])]
        if not known.all():
            kept.append(int(part[~known][0]))
    order = np.unique(kept)
    return x[order], y[order]


class _Frame:
    """From values to places in the drawing."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self.x_range, self.y_range = x_range, y_range

    def place(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        left = _LEFT + (x - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)
        top = _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)
        return round(float(left), 2), round(float(top), 2)

    def grid(self, axes: Axes) -> Markup:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts = []
        for value in ticks(*self.y_range):
            top = self.place(self.x_range[0], value)[1]
            parts.append(
                Markup(
                    '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                    '<text class="tick end" x="{}" y="{}">{}</text>'
                ).format(_LEFT, right, top, top, _LEFT - 6, top + 4, _text(value))
            )
        for value in ticks(*self.x_range):
            left, text = self.place(value, self.y_range[0])[0], _text(value)
            # a long number at the right end would be cut off
            is_cut = left + len(text) * _DIGIT / 2 > _WIDTH
            anchor, left = ('end', _WIDTH) if is_cut else ('middle', left)
            parts.append(
                Markup('<text class="tick {}" x="{}" y="{}">{}</text>').format(
                    anchor, left, bottom + 16, text
                )
            )
        parts.append(
            Markup(
                '<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
                '<text class="name middle" x="{3}" y="{4}">{5}</text>'
                '<text class="name middle" transform="translate(14 {6}) rotate(-90)">{7}</text>'
            ).format(
                _LEFT,
                right,
                bottom,
                (_LEFT + right) / 2,
                _HEIGHT - 8,
                axes.x,
                (_TOP + bottom) / 2,
                axes.y,
            )
        )
        return Markup('').join(parts)


def _line(one: Series, frame: _Frame, index: int) -> Markup:
    x, y = thin(np.asarray(one.x, np.float64), np.asarray(one.y, np.float64))
    path, dots, pen_down = [], [], False
    for a, b in zip(x, y):
        if not math.isfinite(b):
            pen_down = False
            continue
        left, top = frame.place(a, min(max(b, frame.y_range[0]), frame.y_range[1]))
        path.append(f'{"L" if pen_down else "M"}{left} {top}')
        pen_down = True
        dots.append(
            Markup(
                '<circle class="s{}" cx="{}" cy="{}" r="3"><title>{}: {}, {}</title></circle>'
            ).format(index, left, top, one.name, _text(a), _text(b))
        )
    faint = 'dots' if len(dots) <= 60 else 'dots many'
    return Markup('<path class="line s{}" d="{}"/><g class="{}">{}</g>').format(
        index, ' '.join(path), faint, Markup('').join(dots)
    )


def _figure(
    parts: Sequence[Markup], axes: Axes, names: Sequence[str], keys: Sequence[Markup]
) -> Markup:
    legend = Markup('').join(
        Markup('<li>{}{}</li>').format(key, name) for key, name in zip(keys, names)
    )
    shown = f'{axes.title}: {axes.y or axes.title} over {axes.x} of {", ".join(names)}'
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
        '<ul class="keys">{}</ul></figure>'
    ).format(axes.title, _WIDTH, _HEIGHT, escape(shown), Markup('').join(parts), legend)


def _ranges(
    series: Sequence[Series], axes: Axes
) -> tuple[tuple[float, float], tuple[float, float]]:
    found = []
    for given, name in ((axes.x_range, 'x'), (axes.y_range, 'y')):
        if given is None:
            parts = [np.asarray(getattr(one, name), np.float64).ravel() for one in series]
            values = np.concatenate([*parts, np.empty(0)])
            values = values[np.isfinite(values)]
            given = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        low, high = given
        if high <= low:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        found.append((low, high))
    return found[0], found[1]


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers within a range."""
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _text(value: float) -> str:
    """A number as short as it is readable."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return f'{value:.3g}'
    return f'{value:.4f}'.rstrip('0').rstrip('.') if abs(value) < 100 else f'{value:,.6g}'


_CORRECT, _WRONG, _NOTHING = (
    np.array([11, 92, 173]),
    np.array([176, 58, 0]),
    np.array([250, 250, 250]),
)
_READABLE = 40  # classes up to which numbers are written into the cells
_LONGEST = 22  # characters of a name


def draw_confusion(confusion: np.ndarray, classes: Sequence[str], *, title: str = '') -> np.ndarray:
    """The matrix with names and, of few classes, percentages: (h, w, 3) uint8 RGB.

    Args:
        confusion: (K, K + 1) pixels, rows ground truth; the last column is "no class", and is left
            out where it is empty.
        classes: K names.
        title: above it.
    """
    number = len(classes)
    columns = number + bool(confusion[:, number].any())
    sums = np.broadcast_to(confusion.sum(axis=1, keepdims=True), confusion.shape)
    fractions = np.nan_to_num(ratio(confusion, sums))
    side = 36 if number <= _READABLE else line_height(TEXT)
    names = [name if len(name) <= _LONGEST else f'{name[: _LONGEST - 1]}~' for name in classes]
    names.append('no class')
    margin = max(text_width(name, TEXT) for name in names) + 2 * GAP
    sheet = paper(margin + number * side + GAP, margin + columns * side + GAP)
    for row in range(number):
        top = margin + row * side
        draw_text(
            sheet,
            names[row],
            (margin - GAP - text_width(names[row], TEXT), top + (side - line_height(TEXT)) // 2),
        )
        for column in range(columns):
            left = margin + column * side
            cell = sheet[top : top + side - 1, left : left + side - 1]
            _draw_cell(cell, float(fractions[row, column]), is_right=row == column)
    for column in range(columns):
        _draw_turned(sheet, names[column], margin + column * side + side // 2, margin - GAP)
    caption = f'{title}{": " if title else ""}rows: ground truth, columns: prediction, % of the row'
    width = max(sheet.shape[1], text_width(caption, TEXT) + 2 * GAP)
    right = paper(sheet.shape[0], width - sheet.shape[1])
    sheet = np.concatenate([sheet, right], axis=1)
    return np.concatenate([text_line(caption, width, color=QUIET), sheet])


def _draw_cell(cell: np.ndarray, fraction: float, *, is_right: bool) -> None:
    full = _CORRECT if is_right else _WRONG
    # the square root keeps small errors visible
    color = np.round(_NOTHING + (full - _NOTHING) * np.sqrt(fraction))
    cell[:] = color
    if cell.shape[0] < 30 or fraction < 5e-4:
        return
    text = f'{100 * fraction:.1f}' if fraction < 0.0995 else f'{100 * fraction:.0f}'
    ink = INK if color @ (0.299, 0.587, 0.114) > 130 else (255, 255, 255)
    place = ((cell.shape[1] - text_width(text, TEXT - 1)) // 2, (cell.shape[0] - TEXT) // 2 - 2)
    draw_text(cell, text, place, size=TEXT - 1, color=ink)


def _draw_turned(sheet: np.ndarray, text: str, center: int, bottom: int) -> None:
    """Writes upwards, ending at row ``bottom``."""
    mask = np.rot90(text_mask(text, TEXT))
    left, top = center - mask.shape[1] // 2, bottom - mask.shape[0]
    ground = sheet[top:bottom, left : left + mask.shape[1]]
    alpha = mask[: ground.shape[0], : ground.shape[1], None] / 255
    ground[:] = np.round(alpha * INK + (1 - alpha) * ground)
