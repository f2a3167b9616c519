"""What each scale of a multi-scale network saw, and how much it counted, on one sheet.

Images are (H, W, 3) uint8 RGB, label maps (H, W) integers, attention maps (H, W) 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_plugin.report.drawing import (
    GAP,
    TEXT,
    Tile,
    class_legend,
    draw_labels,
    draw_row,
    draw_sheet,
    fit,
    paper,
    text_line,
)
from openseg_plugin.report.text import draw_text, text_width

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
    grey = np.clip(np.round(weight * 255), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _scale_bar(width: int) -> np.ndarray:
    """What the colors of the weights mean."""
    before, after, length = 'weight of the scale: 0', '1', 160
    line = text_line(before, width)
    start = GAP + text_width(before, TEXT) + 8
    line[4:18, start : start + length] = heat(np.linspace(0, 1, length)[None].repeat(14, 0))
    draw_text(line, after, (start + length + 8, 3), size=TEXT)
    return np.concatenate([line, paper(GAP, width)])
