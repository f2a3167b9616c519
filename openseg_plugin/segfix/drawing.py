"""An image of what SegFix does to one label map: before, offsets as colors, after, changes.

H, W: size of the maps in pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.report.drawing import (
    TEXT,
    Tile,
    class_legend,
    draw_errors,
    draw_labels,
    draw_legend,
    draw_row,
    draw_sheet,
    fit,
    paper,
    text_line,
)
from openseg_plugin.report.text import draw_text, line_height, text_width
from openseg_plugin.segfix.offset_files import read_offsets, wheel_color
from openseg_plugin.segfix.refine import refine_labels
from openseg_plugin.utils.images import read_label
from openseg_plugin.utils.palette import distinct_colors

_WHEEL = 34  # pixels of radius
_CROP = 48  # pixels of a side of the enlarged part
_CHANGED = (240, 228, 66)


def draw_segfix(
    label: Path, offsets: Path, *, image: Path | None = None, scale: int = 2
) -> np.ndarray:
    """before | offsets | after | changes, below the part that changed most enlarged, legends.

    Args:
        label: label map; a palette in the file gives the colors.
        offsets: file of offsets or of targets.
        image: the image, shown where nothing changed.
        scale: what offsets are multiplied with.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        DataError: a file cannot be used, or their sizes differ.
    """
    before = read_label(label)
    steps = read_offsets(_content(offsets), str(offsets))
    if steps.shape[:2] != before.shape:
        raise DataError(
            f'{offsets} is {steps.shape[0]} x {steps.shape[1]} pixels, the labels {label} are '
            f'{before.shape[0]} x {before.shape[1]} (rows x columns): give those of one image'
        )
    after = np.asarray(refine_labels(before, steps, scale=scale))
    ground = np.full((*before.shape, 3), 128, np.uint8) if image is None else _read(image, before)
    palette, classes = _palette(label), [f'class {number}' for number in range(255)]
    maps = _Maps(ground, before, steps, after)
    number = int(np.count_nonzero(before != after))
    row = _row(maps, palette, classes, f'changed: {number} px')
    parts = [row]
    if number:
        rows, columns = _busiest(before != after)
        corner = f'rows {rows.start}.., columns {columns.start}..'
        parts.append(text_line(f'where most changed, {corner}', row.shape[1]))
        cut = maps.part(rows, columns)
        parts.append(_row(cut, palette, classes, 'changed', width=_tile_width(row)))
    width = row.shape[1]
    parts.append(class_legend([before, after], palette, classes, width=width))
    parts.append(draw_legend(['changed by SegFix', 'void'], [_CHANGED, None], width=width))
    return draw_sheet([*parts, _wheel(width)])


@dataclass(frozen=True)
class _Maps:
    """Image (H, W, 3), labels before and after (H, W), offsets (H, W, 2)."""

    image: np.ndarray
    before: np.ndarray
    steps: np.ndarray
    after: np.ndarray

    def part(self, rows: slice, columns: slice) -> '_Maps':
        maps = (self.image, self.before, self.steps, self.after)
        return _Maps(*(one[rows, columns] for one in maps))


def _row(
    maps: _Maps,
    palette: list[tuple[int, ...]],
    classes: list[str],
    caption: str,
    *,
    width: int | None = None,
) -> np.ndarray:
    differs = maps.before != maps.after
    changed = fit(differs.astype(np.uint8), width=width, kept=differs) > 0
    image = fit(maps.image, smooth=True, width=width)
    shown = draw_errors(image, np.zeros(changed.shape, np.uint8))
    shown[changed] = _CHANGED
    before, after = (
        draw_labels(fit(one, width=width), palette, classes) for one in (maps.before, maps.after)
    )
    return draw_row(
        [
            Tile('before', before),
            Tile('offsets', fit(offset_colors(maps.steps), width=width)),
            Tile('after', after),
            Tile(caption, shown),
        ]
    )


def _tile_width(row: np.ndarray) -> int:
    return (row.shape[1] - 3 * 6) // 4


def _busiest(changed: np.ndarray) -> tuple[slice, slice]:
    """The window of the map that holds most changed pixels."""
    height, width = (min(_CROP, side) for side in changed.shape)
    # sums over windows from an integral image
    total = cv2.integral(changed.astype(np.uint8))
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width]
    sums = sums + total[:-height, :-width]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    return slice(int(row), int(row) + height), slice(int(column), int(column) + width)


def offset_colors(steps: np.ndarray) -> np.ndarray:
    """Offsets (H, W, 2) -> their colors (H, W, 3) uint8."""
    colors = np.zeros((*steps.shape[:2], 3), np.uint8)
    for row, column in np.unique(steps.reshape(-1, 2), axis=0):
        same = (steps[..., 0] == row) & (steps[..., 1] == column)
        colors[same] = wheel_color(int(row), int(column))
    return colors


def _wheel(width: int) -> np.ndarray:
    """Key of the offsets: eight sectors, and in words what they mean."""
    rows, columns = np.mgrid[-_WHEEL : _WHEEL + 1, -_WHEEL : _WHEEL + 1]
    eighth = np.round(np.arctan2(rows, columns) / (np.pi / 4)) * (np.pi / 4)
    directions = np.stack([np.round(np.sin(eighth)), np.round(np.cos(eighth))], axis=-1)
    inside = np.hypot(rows, columns) <= _WHEEL
    side = 2 * _WHEEL + 1
    sheet = paper(side + 12, width)
    disk = sheet[6 : 6 + side, 6 : 6 + side]
    disk[inside] = offset_colors(directions.astype(np.int8))[inside]
    words = (
        'Color of an offset: where the pixel takes its class from, seen from the center',
        '(right side of the wheel: from a pixel to its right). Black: it keeps its class.',
    )
    for index, line in enumerate(words):
        if text_width(line, TEXT) + side + 20 <= width:
            top = 6 + _WHEEL - line_height(TEXT) + index * (line_height(TEXT) + 2)
            draw_text(sheet, line, (side + 18, top), size=TEXT)
    return sheet


def _read(path: Path, labels: np.ndarray) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if pixels is None or pixels.shape[:2] != labels.shape:
        raise DataError(f'{path} is no image of the size of the labels: give its own image')
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _palette(path: Path) -> list[tuple[int, ...]]:
    """Colors of the file, or generated ones; the last one, of void, is black."""
    with Image.open(path) as image:
        values = image.getpalette() if image.mode == 'P' else None
    if values:
        return [tuple(values[i : i + 3]) for i in range(0, len(values), 3)]
    return [*distinct_colors(255), (0, 0, 0)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror}): give a file') from error
