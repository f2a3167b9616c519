"""Images of label maps for people: class colors, kinds of errors, panels, legends.

All that the package draws goes through here, so that a color means the same everywhere: class
colors are drawn opaque, hence every pixel inside a region has exactly the color of the legend.
Outlines and names tell regions apart without color.

Images are (H, W, 3) uint8 RGB, label maps (H, W) integers. Text: :mod:`openseg_plugin.report.text`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_plugin.report.text import INK, draw_text, line_height, text_width

PAPER, QUIET = (255, 255, 255), (96, 96, 102)
NO_CLASS = (0, 0, 0)
"""Color of ids that no class has."""
BOUNDARY_PIXELS = 3
"""Wrong pixels up to so far from a boundary of the ground truth count as errors at it."""
OVERLAY = 0.5
"""Opacity of class colors that are laid over an image."""
TEXT = 13  # pixels
GAP = 6  # pixels between tiles
MARK = TEXT + 2  # pixels of height of a mark in a legend
_LINE = line_height(TEXT) + 6
_TILE = (320, 1024)  # least and most pixels of width: room for text, files of sane size
_RIGHT_DIM, _RIGHT_BASE = 0.35, 20  # brightness of the image where the prediction is right
_OUTLINE = (24, 24, 28)
_NAMED_FRACTION = 0.01  # regions below it get no name
_HATCH = (
    (104, 104, 104),
    (150, 150, 150),
)  # ignored pixels; a pattern, as any color may be a class


@dataclass(frozen=True)
class ErrorKind:
    """What a pixel of :func:`error_kinds` is: its name, its color and what that means."""

    name: str
    color: tuple[int, int, int]
    meaning: str


RIGHT, MISSED, FALSE, AT_BOUNDARY, IGNORED = range(5)
ERROR_KINDS = (
    ErrorKind('right', (70, 70, 70), 'the prediction is the true class'),
    ErrorKind('missed', (0, 114, 178), 'the true class is the rarer of the two'),
    ErrorKind('false', (213, 94, 0), 'the predicted class is the rarer of the two'),
    ErrorKind('boundary', (240, 228, 66), f'wrong within {BOUNDARY_PIXELS} px of a boundary'),
    ErrorKind('ignored', _HATCH[1], 'no ground truth here'),
)
"""In the order of the codes. Colors: the set of Okabe and Ito for color-blind readers."""


def class_colors(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Class ids (H, W) -> their colors (H, W, 3) uint8; ids without a color are black."""
    colors = np.asarray(palette, np.uint8).reshape(-1, 3)
    # one more row, for everything that is no class
    table = np.concatenate([colors, np.array([NO_CLASS], np.uint8)])
    labels = np.asarray(labels).astype(np.int64)
    known = (labels >= 0) & (labels < len(colors))
    return table[np.where(known, labels, len(colors))]


def blend(image: np.ndarray, colors: np.ndarray, *, opacity: float) -> np.ndarray:
    """Colors laid over the image; ``opacity`` 0..1 is how much of them is seen."""
    return cv2.addWeighted(colors, opacity, np.ascontiguousarray(image), 1 - opacity, 0)


def hatch(image: np.ndarray, where: np.ndarray) -> None:
    """Draws the pattern of ignored pixels into ``image`` at ``where``, (H, W) bool."""
    rows, columns = np.arange(where.shape[0]), np.arange(where.shape[1])
    odd = (rows[:, None] + columns) // 4 % 2
    image[where] = np.array(_HATCH, np.uint8)[odd[where]]


def ignored_prediction(ignore_index: int, num_classes: int) -> int:
    """The id that is drawn as ignored in a prediction; -1, which none has, where it is a class.

    Labels may leave out the pixels of a class, such as an unlabelled background; a prediction of
    that class is one as any other.
    """
    return -1 if 0 <= ignore_index < num_classes else ignore_index


def label_boundaries(labels: np.ndarray, *, ignore_index: int = 255) -> np.ndarray:
    """Pixels with a 4-neighbor of another label: (H, W) uint8, 0 or 1.

    The rim of ignored regions is no boundary, as in the boundary F-score.
    """
    edge = np.zeros(labels.shape, np.uint8)
    rows, columns = labels[:-1] != labels[1:], labels[:, :-1] != labels[:, 1:]
    kept = labels != ignore_index
    if not kept.all():
        rows &= kept[:-1] & kept[1:]
        columns &= kept[:, :-1] & kept[:, 1:]
    edge[:-1] |= rows
    edge[1:] |= rows
    edge[:, :-1] |= columns
    edge[:, 1:] |= columns
    return edge


def boundary_distance(labels: np.ndarray, *, ignore_index: int = 255) -> np.ndarray:
    """Distance of every pixel to the nearest boundary in pixels, (H, W) float32.

    0 at the pixels on both sides of a boundary; infinite in a map of one label.
    """
    edge = label_boundaries(labels, ignore_index=ignore_index)
    if not edge.any():
        return np.full(labels.shape, np.inf, np.float32)
    return cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def error_kinds(
    label: np.ndarray,
    prediction: np.ndarray,
    frequency: Sequence[float] | np.ndarray,
    *,
    ignore_index: int = 255,
) -> np.ndarray:
    """Code of every pixel, (H, W) uint8: the position in ``ERROR_KINDS``.

    A confusion of two classes is an error of both. It is named after the rarer one, which is what
    people look for: "missed" where that is true, "false" where it is predicted; background and
    other frequent classes need no special treatment. Wrong pixels within 3 pixels of a boundary
    of the ground truth are "boundary" whatever their classes.

    Args:
        label: (H, W) class ids, ``ignore_index`` where there is no ground truth.
        prediction: (H, W) class ids.
        frequency: (K,) how frequent the classes are, in any unit.
        ignore_index: marks ignored pixels of ``label``.
    """
    # anything that is no class counts as the most frequent one: it was not found
    order = np.append(np.asarray(frequency, np.float64), np.inf)
    last = len(order) - 1
    true, predicted = (
        np.where((one >= 0) & (one < last), one, last) for one in (label, prediction)
    )
    missed = order[true] <= order[predicted]
    kinds = np.where(missed, MISSED, FALSE).astype(np.uint8)
    kinds[boundary_distance(label, ignore_index=ignore_index) < BOUNDARY_PIXELS] = AT_BOUNDARY
    kinds[label == prediction] = RIGHT
    kinds[label == ignore_index] = IGNORED
    return kinds


def is_wrong(kinds: np.ndarray) -> np.ndarray:
    """Where :func:`error_kinds` found an error, (H, W) bool."""
    return (kinds != RIGHT) & (kinds != IGNORED)


def draw_errors(image: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The image in dim gray where the prediction is right, the color of its kind elsewhere."""
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    shown = np.repeat((gray * _RIGHT_DIM + _RIGHT_BASE).astype(np.uint8)[..., None], 3, axis=2)
    for code in (MISSED, FALSE, AT_BOUNDARY):
        shown[kinds == code] = ERROR_KINDS[code].color
    hatch(shown, kinds == IGNORED)
    return shown


def draw_labels(
    labels: np.ndarray,
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    ignore_index: int = 255,
) -> np.ndarray:
    """Class colors, outlined, with the names in regions that have room for them."""
    shown = class_colors(labels, palette)
    hatch(shown, labels == ignore_index)
    right_or_below = np.zeros(labels.shape, bool)  # one pixel wide
    right_or_below[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    right_or_below[:-1] |= labels[:-1] != labels[1:]
    shown[right_or_below] = _OUTLINE
    taken = np.zeros(labels.shape, bool)
    for class_id in np.unique(labels):
        if 0 <= class_id < len(classes) and class_id != ignore_index:
            _draw_name(shown, labels == class_id, classes[class_id], taken)
    return shown


def _draw_name(shown: np.ndarray, region: np.ndarray, name: str, taken: np.ndarray) -> None:
    """Writes the name at the place farthest from the rim of a region, if it fits there.

    ``taken`` (H, W) marks the boxes of the names that are there, and gets this one.
    """
    if np.count_nonzero(region) < _NAMED_FRACTION * region.size:
        return
    # the border of the image is a rim, too
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_3)
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    width, height = text_width(name, TEXT), line_height(TEXT)
    if distance[row, column] < 0.6 * height or distance[row, column] * 6 < width:
        return
    left = int(np.clip(column - width // 2, 2, max(region.shape[1] - width - 2, 2)))
    top = int(row) - height // 2
    box = taken[max(top, 0) : top + height, left : left + width]
    if box.any():
        return
    box[:] = True
    draw_text(shown, name, (left, top), size=TEXT, color=PAPER, halo=_OUTLINE)


@dataclass(frozen=True)
class Tile:
    """One image of a panel.

    Attributes:
        caption: drawn above it.
        image: (h, w, 3).
    """

    caption: str
    image: np.ndarray


def shrunk_positions(
    size: tuple[int, int], smaller: tuple[int, int], kept: np.ndarray
) -> np.ndarray:
    """Flat position of the pixel that each pixel of a smaller map shows, (h, w) int64.

    One of ``kept`` where it stands for any, so that few pixels are not lost, else the middle one.

    Args:
        size: (H, W) of the map.
        smaller: (h, w).
        kept: (n,) flat positions; of several the last one is shown.
    """
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(smaller, size))
    chosen = rows[:, None] * size[1] + columns
    row, column = np.divmod(kept, size[1])
    chosen[row * smaller[0] // size[0], column * smaller[1] // size[1]] = kept
    return chosen


def fit(
    image: np.ndarray,
    *,
    smooth: bool = False,
    width: int | None = None,
    kept: np.ndarray | None = None,
) -> np.ndarray:
    """Enlarges small images a whole number of times, shrinks large ones.

    Args:
        image: (H, W) or (H, W, 3).
        smooth: average where it is shrunk; never for label maps.
        width: pixels wanted exactly; None: 320 to 1024.
        kept: (H, W) bool, pixels of a map that are shown where it is shrunk.
    """
    height, old_width = image.shape[:2]
    if width is None:
        width = _TILE[1] if old_width > _TILE[1] else old_width * _factor(old_width)
    if width == old_width:
        return image
    size = (width, max(round(height * width / old_width), 1))
    if kept is not None and width < old_width:
        return image.reshape(-1)[shrunk_positions(image.shape, size[::-1], np.flatnonzero(kept))]
    method = cv2.INTER_AREA if smooth and width < old_width else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=method)


def _factor(width: int) -> int:
    return max(-(-_TILE[0] // width), 1)


def scale_caption(width: int) -> str:
    """How :func:`fit` scales an image of that width, such as ', enlarged 4x', or nothing."""
    if width > _TILE[1]:
        return f', shrunk to {100 * _TILE[1] / width:.0f} %'
    return f', enlarged {_factor(width)}x' if _factor(width) > 1 else ''


def draw_row(tiles: Sequence[Tile]) -> np.ndarray:
    """Images side by side, each below its caption; lower ones filled up with white."""
    height = max(tile.image.shape[0] for tile in tiles)
    parts: list[np.ndarray] = []
    for tile in tiles:
        width = max(tile.image.shape[1], text_width(tile.caption, TEXT) + 2)
        column = paper(height + _LINE, width)
        draw_text(column, tile.caption, (1, 3), size=TEXT)
        column[_LINE : _LINE + tile.image.shape[0], : tile.image.shape[1]] = tile.image
        parts += [column, paper(height + _LINE, GAP)]
    return np.concatenate(parts[:-1], axis=1)


def draw_sheet(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Panels below each other, narrower ones filled up with white.

    Raises:
        ValueError: there is no panel.
    """
    if not panels:
        raise ValueError('a sheet needs at least one panel')
    width = max(panel.shape[1] for panel in panels)
    rows: list[np.ndarray] = []
    for panel in panels:
        filled = paper(panel.shape[0] + GAP, width)
        filled[: panel.shape[0], : panel.shape[1]] = panel
        rows.append(filled)
    return np.concatenate(rows)[:-GAP]


def class_legend(
    maps: Sequence[np.ndarray | None],
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    width: int,
) -> np.ndarray:
    """Legend of the classes that occur in label maps (None: no map)."""
    present = np.unique(np.concatenate([np.unique(one) for one in maps if one is not None]))
    ids = [int(i) for i in present if 0 <= i < len(classes)]
    return draw_legend([classes[i] for i in ids], [palette[i] for i in ids], width=width)


def kind_legend(kinds: np.ndarray, *, width: int) -> np.ndarray:
    """Legend of the kinds of errors with their percentage of the labelled pixels."""
    labelled = max(int(np.count_nonzero(kinds != IGNORED)), 1)
    codes = (MISSED, FALSE, AT_BOUNDARY)
    names = [
        f'{ERROR_KINDS[code].name} {100 * np.count_nonzero(kinds == code) / labelled:.1f} % '
        f'({ERROR_KINDS[code].meaning})'
        for code in codes
    ]
    colors = [ERROR_KINDS[code].color for code in codes]
    return draw_legend([*names, 'ignored'], [*colors, None], width=width)


def draw_legend(
    names: Sequence[str], colors: Sequence[Sequence[int] | None], *, width: int
) -> np.ndarray:
    """Color patches with names in rows that fit ``width`` pixels: (h, width, 3) uint8.

    Args:
        names: of the entries.
        colors: RGB; None is the pattern of ignored pixels.
        width: pixels.
    """
    marks = []
    for color in colors:
        mark = np.full((MARK, MARK, 3), QUIET, np.uint8)
        if color is None:
            hatch(mark[1:-1, 1:-1], np.ones((MARK - 2, MARK - 2), bool))
        else:
            mark[1:-1, 1:-1] = color
        marks.append(mark)
    return mark_legend(names, marks, width=width)


def mark_legend(names: Sequence[str], marks: Sequence[np.ndarray], *, width: int) -> np.ndarray:
    """Legend with any mark before each name, (MARK, w, 3) uint8; else as :func:`draw_legend`."""
    places, x, y = [], GAP, 0
    for name, mark in zip(names, marks):
        needed = mark.shape[1] + 6 + text_width(name, TEXT) + 16
        if x + needed > width and x > GAP:
            x, y = GAP, y + _LINE
        places.append((x, y))
        x += needed
    sheet = paper(y + _LINE + GAP, width)
    for name, mark, (left, top) in zip(names, marks, places):
        box = sheet[top + 4 : top + 4 + MARK, left : left + mark.shape[1]]
        box[:] = mark[:, : box.shape[1]]
        draw_text(sheet, name, (left + mark.shape[1] + 6, top + 3), size=TEXT)
    return sheet


def text_line(text: str, width: int, *, color: tuple[int, int, int] = INK) -> np.ndarray:
    """One line of text on white, (h, width, 3) uint8."""
    line = paper(_LINE, width)
    draw_text(line, text, (GAP, 3), size=TEXT, color=color)
    return line


def paper(height: int, width: int) -> np.ndarray:
    """White, (height, width, 3) uint8."""
    return np.full((height, width, 3), PAPER, np.uint8)
