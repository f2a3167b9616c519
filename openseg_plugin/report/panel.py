"""Panels of predictions: image, ground truth, prediction and errors side by side, with legends;
and sheets of what each scale of a multi-scale network saw, and how much it counted.

Images are (H, W, 3) uint8 RGB, label maps (H, W) integers; see
:mod:`openseg_plugin.report.drawing`.

Attention maps are (H, W), 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_plugin.report.drawing import (
    GAP,
    IGNORED,
    QUIET,
    RIGHT,
    TEXT,
    Tile,
    class_legend,
    draw_errors,
    draw_labels,
    draw_legend,
    draw_row,
    draw_sheet,
    error_kinds,
    fit,
    ignored_prediction,
    is_wrong,
    kind_legend,
    paper,
    scale_caption,
    text_line,
)
from openseg_plugin.report.text import draw_text, text_width

CHANGES = {
    'refined to the true class': (0, 158, 115),
    'refined to a wrong class': (213, 94, 0),
    'changed, wrong before and after': (240, 228, 66),
}
"""Kinds of changed pixels and their colors."""


def draw_panel(
    image: np.ndarray,
    label: np.ndarray | None,
    prediction: np.ndarray,
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    ignore_index: int = 255,
    frequency: Sequence[float] | np.ndarray | None = None,
    title: str | None = None,
    before: np.ndarray | None = None,
) -> np.ndarray:
    """image | ground truth | prediction | errors, with captions and legends.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) class ids, or None: then there are two tiles.
        prediction: (H, W) class ids.
        palette: one RGB color per class.
        classes: their names.
        ignore_index: label value that has no class; hatched, and never an error.
        frequency: of the classes in the dataset, see :func:`error_kinds`; None: in this label.
        title: above everything.
        before: (H, W) class ids before refinement (SegFix): one more tile, of the changes.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        ValueError: image, label and prediction have different sizes.
    """
    tiles, kinds = draw_tiles(
        image, label, prediction, palette, classes, ignore_index=ignore_index, frequency=frequency
    )
    if before is not None:
        tiles.append(change_tile(image, label, before, prediction, ignore_index=ignore_index))
    row = draw_row(tiles)
    width = row.shape[1]
    parts = [] if title is None else [text_line(title, width, color=QUIET)]
    parts += [row, class_legend([label, prediction], palette, classes, width=width)]
    if kinds is not None:
        parts.append(kind_legend(kinds, width=width))
    if before is not None:
        names = list(CHANGES)
        parts.append(draw_legend(names, [CHANGES[name] for name in names], width=width))
    return np.concatenate(parts)


def draw_tiles(
    image: np.ndarray,
    label: np.ndarray | None,
    prediction: np.ndarray,
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    ignore_index: int = 255,
    frequency: Sequence[float] | np.ndarray | None = None,
) -> tuple[list[Tile], np.ndarray | None]:
    """Tiles of a panel, and the kinds of the errors; arguments as :func:`draw_panel`.

    Raises:
        ValueError: image, label and prediction have different sizes.
    """
    for name, other in (('label', label), ('prediction', prediction)):
        if other is not None and other.shape != image.shape[:2]:
            raise ValueError(f'{name} is {other.shape} but the image {image.shape[:2]} (H, W)')
    scale = scale_caption(image.shape[1])
    left_out = ignored_prediction(ignore_index, len(classes))
    shown = draw_labels(fit(prediction), palette, classes, ignore_index=left_out)
    predicted = Tile('prediction', shown)
    tiles = [Tile(f'image{scale}', fit(image, smooth=True))]
    if label is None:
        return [*tiles, predicted], None
    if frequency is None:
        kept = label[(label != ignore_index) & (label >= 0) & (label < len(classes))]
        frequency = np.bincount(kept.astype(np.int64), minlength=len(classes))
    kinds = error_kinds(label, prediction, frequency, ignore_index=ignore_index)
    labelled = np.count_nonzero(kinds != IGNORED)
    right = 100 * np.count_nonzero(kinds == RIGHT) / max(int(labelled), 1)
    truth = draw_labels(fit(label), palette, classes, ignore_index=ignore_index)
    tiles += [
        Tile('ground truth', truth),
        predicted,
        Tile(
            f'errors ({right:.1f} % right)',
            draw_errors(fit(image, smooth=True), fit(kinds, kept=is_wrong(kinds))),
        ),
    ]
    return tiles, kinds


def change_tile(
    image: np.ndarray,
    label: np.ndarray | None,
    before: np.ndarray,
    after: np.ndarray,
    *,
    ignore_index: int = 255,
) -> Tile:
    """What refinement changed: green to right, orange to wrong, yellow neither."""
    changed = before != after
    kinds = np.zeros(after.shape, np.uint8)
    kinds[changed] = 3
    if label is not None:
        labelled = changed & (label != ignore_index)
        kinds[labelled & (after == label)] = 1
        kinds[labelled & (before == label)] = 2
    fitted = fit(kinds, kept=changed)
    shown = draw_errors(fit(image, smooth=True), np.full(fitted.shape, RIGHT, np.uint8))
    for code, color in enumerate(CHANGES.values(), start=1):
        shown[fitted == code] = color
    if label is None:
        return Tile(f'changed ({np.count_nonzero(changed)} px)', shown)
    better, worse = np.count_nonzero(kinds == 1), np.count_nonzero(kinds == 2)
    return Tile(f'changes: {better} px to right, {worse} px to wrong', shown)


_WIDTH = 480  # pixels of a tile


@dataclass(frozen=True)
class ScaleView:
    """One pass of the network.

    Attributes:
        scale: of its input.
        attention: how much its prediction counts against the finer ones; None: it is the finest,
            which has no attention of its own.
        prediction: class ids.
    """

    scale: float
    attention: np.ndarray | None
    prediction: np.ndarray


def draw_attention_sheet(
    image: np.ndarray,
    fused: np.ndarray,
    views: Sequence[ScaleView],
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    title: str,
) -> np.ndarray:
    """Input and fused prediction; below, for every scale, its weight and prediction; a legend.

    Args:
        image: the image.
        fused: class ids of the fused prediction.
        views: the scales, from the finest to the coarsest.
        palette: one RGB color per class.
        classes: their names.
        title: above everything, such as the name of the file.

    Returns:
        (h, w, 3) uint8 RGB.
    """

    def labels(caption: str, ids: np.ndarray) -> Tile:
        return Tile(caption, draw_labels(fit(ids, width=_WIDTH), palette, classes))

    rows = [
        draw_row(
            [
                Tile('input', fit(image, smooth=True, width=_WIDTH)),
                labels('fused prediction', fused),
            ]
        )
    ]
    for view, weight in zip(views, scale_weights(views)):
        caption = f'scale {view.scale:g}: counts for {100 * float(weight.mean()):.0f} %'
        shown = heat(fit(weight.astype(np.float32), smooth=True, width=_WIDTH))
        prediction = labels(f'scale {view.scale:g}: prediction', view.prediction)
        rows.append(draw_row([Tile(caption, shown), prediction]))
    width = rows[0].shape[1]
    maps = [fused, *(view.prediction for view in views)]
    return draw_sheet(
        [
            text_line(title, width),
            *rows,
            _scale_bar(width),
            class_legend(maps, palette, classes, width=width),
        ]
    )


def scale_weights(views: Sequence[ScaleView]) -> list[np.ndarray]:
    """How much each scale counts in the fused prediction, (H, W) each; they sum to 1.

    A pass gets its attention of what the coarser ones leave, the finest one the rest
    (arXiv 2005.10821, Sec. 3.1).

    Args:
        views: from the finest to the coarsest.
    """
    weights: list[np.ndarray] = []
    rest = np.ones(views[0].prediction.shape, np.float32)
    for view in reversed(views):
        attention = np.float32(1) if view.attention is None else view.attention
        weights.append(rest * attention)
        rest = rest * (1 - attention)
    return weights[::-1]


def heat(weight: np.ndarray) -> np.ndarray:
    """(H, W), 0 to 1 -> colors (H, W, 3) from dark violet over green to yellow."""
    gray = np.clip(np.round(weight * 255), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _scale_bar(width: int) -> np.ndarray:
    """What the colors of the weights mean."""
    before, after, length = 'weight of the scale: 0', '1', 160
    line = text_line(before, width)
    start = GAP + text_width(before, TEXT) + 8
    line[4:18, start : start + length] = heat(np.linspace(0, 1, length)[None].repeat(14, 0))
    draw_text(line, after, (start + length + 8, 3), size=TEXT)
    return np.concatenate([line, paper(GAP, width)])
