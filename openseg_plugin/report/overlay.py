"""Images of predictions: image, ground gt, prediction and errors side by side, with a legend.

Images are (H, W, 3) uint8 RGB, label maps (H, W) integers. Text is drawn by OpenCV: no fonts.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK, _QUIET = (255, 255, 255), (30, 30, 34), (110, 110, 116)
_GAP = 6  # pixels between tiles
_VOID = (0, 0, 0)
_RIGHT_DIM = 0.35  # brightness of the image where the prediction is right
_WRONG, _UNASKED = np.array([235, 64, 52]), 0.12
_CHANGED = (250, 200, 40)
_CHANGES = {'refined': (60, 200, 80), 'harmed': (235, 64, 52)}
_TILE = (320, 1024)  # least and most pixels of width: room for text, files of sane size


def draw_panel(
    image: np.ndarray,
    label: np.ndarray | None,
    prediction: np.ndarray,
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    ignore_index: int = 255,
    title: str | None = None,
    before: np.ndarray | None = None,
) -> np.ndarray:
    """image | ground gt | prediction | errors, with captions and a legend of the classes.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) class ids, or None: then there are two tiles.
        prediction: (H, W) class ids.
        palette: one RGB colour per class.
        classes: their names.
        ignore_index: label value that nobody asks for; black, and never an error.
        title: above everything.
        before: (H, W) class ids before the prediction was refined (SegFix): one more tile, green
            where that made it right, red where it made it wrong, yellow where neither.

    Returns:
        (h, w, 3) uint8 RGB. In the errors tile the image is dim where the prediction is right,
        red where it is wrong and black where nothing was asked.

    Raises:
        ValueError: image, label and prediction have different sizes.
    """
    tiles = draw_tiles(image, label, prediction, palette, ignore_index=ignore_index)
    if before is not None:
        tiles.append(refined_tile(image, label, before, prediction, ignore_index=ignore_index))
    row = draw_row(tiles)
    shown = np.unique(prediction if label is None else np.concatenate([label, prediction], None))
    ids = [int(i) for i in shown if 0 <= i < len(classes)]
    parts = [] if title is None else [_line(title, row.shape[1], ink=_QUIET)]
    parts += [row, legend([classes[i] for i in ids], [palette[i] for i in ids], width=row.shape[1])]
    return np.concatenate(parts)


def draw_tiles(
    image: np.ndarray,
    label: np.ndarray | None,
    prediction: np.ndarray,
    palette: Sequence[Sequence[int]],
    *,
    ignore_index: int = 255,
) -> list[tuple[str, np.ndarray]]:
    """Caption and image (H, W, 3) of every tile of a panel; arguments as :func:`draw_panel`.

    Raises:
        ValueError: image, label and prediction have different sizes.
    """
    for name, other in (('label', label), ('prediction', prediction)):
        if other is not None and other.shape != image.shape[:2]:
            raise ValueError(f'{name} is {other.shape} but the image {image.shape[:2]} (H, W)')
    predicted = ('prediction', blend(image, colour(prediction, palette)))
    if label is None:
        return [('image', image), predicted]
    asked = label != ignore_index
    right = asked & (label == prediction)
    share = 100 * right.sum() / max(asked.sum(), 1)
    return [
        ('image', image),
        ('ground gt', colour(label, palette)),
        predicted,
        (f'errors ({share:.1f} % right)', errors(image, asked=asked, right=right)),
    ]


def draw_row(tiles: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Images of one size side by side, each below its caption."""
    return _row([_captioned(text, _fitted(tile)) for text, tile in tiles])


def refined_tile(
    image: np.ndarray,
    label: np.ndarray | None,
    before: np.ndarray,
    after: np.ndarray,
    *,
    ignore_index: int = 255,
) -> tuple[str, np.ndarray]:
    """Caption and image of what changed between two predictions; see :func:`draw_panel`."""
    changed = before != after
    unknown = np.full(after.shape, ignore_index) if label is None else label
    asked = unknown != ignore_index
    kinds = {'refined': after == unknown, 'harmed': before == unknown}
    shown = errors(image, asked=np.ones_like(changed), right=~changed)
    shown[changed] = _CHANGED
    for name, right in kinds.items():
        shown[changed & asked & right] = _CHANGES[name]
    if label is None:
        return (f'changed ({changed.sum()} px)', shown)
    counts = ', '.join(f'{name} {(changed & asked & kind).sum()}' for name, kind in kinds.items())
    return (f'{counts} px', shown)


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
        filled = np.full((panel.shape[0] + _GAP, width, 3), _PAPER, np.uint8)
        filled[: panel.shape[0], : panel.shape[1]] = panel
        rows.append(filled)
    return np.concatenate(rows)[:-_GAP]


def draw_samples(
    samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    ignore_index: int = 255,
) -> np.ndarray:
    """A sheet of (image, label, prediction), captioned once, with one legend at the bottom."""
    panels, shown = [], set()
    for image, label, prediction in samples:
        tiles = draw_tiles(image, label, prediction, palette, ignore_index=ignore_index)
        fitted = [(text.partition(' (')[0], _fitted(tile)) for text, tile in tiles]
        first = not panels
        panels.append(_row([_captioned(text, tile) if first else tile for text, tile in fitted]))
        shown |= set(np.unique(label)) | set(np.unique(prediction))
    ids = sorted(int(i) for i in shown if i < len(classes))
    names, colours = [classes[i] for i in ids], [palette[i] for i in ids]
    return draw_sheet([*panels, legend(names, colours, width=panels[0].shape[1])])


def colour(label: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Class ids (H, W) -> their colours (H, W, 3) uint8; ids without a colour are black."""
    colours = np.asarray(palette, np.uint8).reshape(-1, 3)
    # one more row, for everything that is no class
    table = np.concatenate([colours, np.array([_VOID], np.uint8)])
    label = np.asarray(label).astype(np.int64)
    known = (label >= 0) & (label < len(colours))
    return table[np.where(known, label, len(colours))]


def blend(image: np.ndarray, colours: np.ndarray, *, share: float = 0.72) -> np.ndarray:
    """Colours laid over the image; ``share`` is how much of them is seen (0..1)."""
    return cv2.addWeighted(colours, share, np.ascontiguousarray(image), 1 - share, 0)


def errors(image: np.ndarray, *, asked: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The image in grey: dim where right, red where wrong, black where nothing was asked."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]
    shown = np.repeat(grey * np.float32(_RIGHT_DIM) + 20, 3, axis=2)
    wrong = asked & ~right
    shown[wrong] = 0.25 * shown[wrong] + 0.75 * _WRONG
    shown[~asked] *= _UNASKED
    return shown.astype(np.uint8)


def legend(classes: Sequence[str], palette: Sequence[Sequence[int]], *, width: int) -> np.ndarray:
    """Colour patches with names in rows that fit ``width`` pixels: (h, width, 3) uint8."""
    height, patch = 24, 14
    places, x, y = [], _GAP, 0
    for name in classes:
        needed = patch + 6 + _text_width(name) + 16
        if x + needed > width and x > _GAP:
            x, y = _GAP, y + height
        places.append((x, y))
        x += needed
    sheet = np.full((y + height + _GAP, width, 3), _PAPER, np.uint8)
    for name, shown, (left, top) in zip(classes, palette, places):
        box = np.s_[top + 6 : top + 6 + patch, left : left + patch]
        sheet[box] = _QUIET
        sheet[top + 7 : top + 5 + patch, left + 1 : left + patch - 1] = shown
        _write(sheet, name, (left + patch + 6, top + 18))
    return sheet


def _captioned(text: str, tile: np.ndarray) -> np.ndarray:
    return np.concatenate([_line(text, tile.shape[1]), tile])


def _fitted(tile: np.ndarray) -> np.ndarray:
    """Enlarges small tiles a whole number of times, shrinks large ones."""
    height, width = tile.shape[:2]
    if width > _TILE[1]:
        size = (_TILE[1], max(round(height * _TILE[1] / width), 1))
        return cv2.resize(tile, size, interpolation=cv2.INTER_AREA)
    factor = -(-_TILE[0] // width)
    return tile.repeat(factor, 0).repeat(factor, 1) if factor > 1 else tile


def _row(tiles: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((tiles[0].shape[0], _GAP, 3), _PAPER, np.uint8)
    parts: list[np.ndarray] = []
    for tile in tiles:
        parts += [tile, gap]
    return np.concatenate(parts[:-1], axis=1)


def _line(text: str, width: int, *, ink: Sequence[int] = _INK) -> np.ndarray:
    line = np.full((24, width, 3), _PAPER, np.uint8)
    _write(line, text, (_GAP, 17), ink=ink)
    return line


def _write(
    sheet: np.ndarray, text: str, place: tuple[int, int], *, ink: Sequence[int] = _INK
) -> None:
    # OpenCV's fonts have ASCII only
    shown = text.encode('ascii', 'replace').decode()
    cv2.putText(sheet, shown, place, _FONT, 0.45, tuple(ink), 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, _FONT, 0.45, 1)[0][0]
