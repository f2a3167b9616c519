"""A confusion matrix as an image: rows ground truth, columns prediction, percent of the row."""

from collections.abc import Sequence

import numpy as np

from openseg_plugin.report.drawing import GAP, QUIET, TEXT, paper, text_line
from openseg_plugin.report.metrics import ratio
from openseg_plugin.report.text import INK, draw_text, line_height, text_mask, text_width

_RIGHT, _WRONG, _NOTHING = (
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
    return np.concatenate([text_line(caption, sheet.shape[1], color=QUIET), sheet])


def _draw_cell(cell: np.ndarray, fraction: float, *, is_right: bool) -> None:
    full = _RIGHT if is_right else _WRONG
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
