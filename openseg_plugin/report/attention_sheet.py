"""What each scale of a multi-scale network saw, and how much it counted, on one sheet.

Images are (H, W, 3) uint8 RGB, label maps (H, W) integers, attention maps (H, W) 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_plugin.report.overlay import blend, colour, draw_sheet, legend

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK, _UNUSED = 255, (30, 30, 34), 225
_GAP, _LINE = 6, 26  # pixels
_WIDTH = 480  # of a tile


@dataclass(frozen=True)
class ScaleView:
    """One pass of the network.

    Attributes:
        scale: of its input.
        attention: how much its prediction counts against the finer ones; None: it is the finest,
            which has no weights of its own.
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
    """Input and fused prediction; below, for every scale, attention and prediction; a legend.

    Args:
        image: the image.
        fused: class ids of the fused prediction.
        views: the scales, from the finest to the coarsest.
        palette: one RGB colour per class.
        classes: their names.
        title: above everything, such as the name of the file.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    rows = [
        _row(
            _tile(f'{title}: input', image),
            _tile('fused prediction', blend(image, colour(fused, palette))),
        )
    ]
    for view in views:
        rows.append(
            _row(
                _attention_tile(view, image),
                _tile(
                    f'scale {view.scale:g}: prediction',
                    blend(image, colour(view.prediction, palette)),
                ),
            )
        )
    shown = np.unique(np.concatenate([fused, *(view.prediction for view in views)], axis=None))
    ids = [int(i) for i in shown if 0 <= i < len(classes)]
    width = rows[0].shape[1]
    rows.append(_scale_bar(width))
    rows.append(legend([classes[i] for i in ids], [palette[i] for i in ids], width=width))
    return draw_sheet(rows)


def _attention_tile(view: ScaleView, image: np.ndarray) -> np.ndarray:
    caption = f'scale {view.scale:g}: '
    if view.attention is None:
        empty = np.full_like(image, _UNUSED)
        return _tile(caption + 'finest, no attention', empty)
    mean = float(view.attention.mean())
    return _tile(f'{caption}attention, mean {mean:.2f}', heat(view.attention))


def heat(attention: np.ndarray) -> np.ndarray:
    """(H, W), 0 to 1 -> colours (H, W, 3) from dark violet over green to yellow."""
    grey = np.clip(np.round(attention * 255), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _scale_bar(width: int) -> np.ndarray:
    """What the colours of the attention mean."""
    line = np.full((_LINE, width, 3), _PAPER, np.uint8)
    _write(line, 'attention: 0 (finer scales count)', (_GAP, 18))
    start, length = 270, 120
    line[6:20, start : start + length] = heat(np.linspace(0, 1, length)[None].repeat(14, 0))
    _write(line, '1 (this scale counts)', (start + length + 8, 18))
    return line


def _tile(caption: str, image: np.ndarray) -> np.ndarray:
    """The image at a common width, with a line of text above it."""
    height = max(round(image.shape[0] * _WIDTH / image.shape[1]), 1)
    shrinks = image.shape[1] > _WIDTH
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    line = np.full((_LINE, _WIDTH, 3), _PAPER, np.uint8)
    _write(line, caption, (_GAP, 18))
    resized = cv2.resize(np.ascontiguousarray(image), (_WIDTH, height), interpolation=method)
    return np.concatenate([line, resized])


def _row(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    gap = np.full((first.shape[0], _GAP, 3), _PAPER, np.uint8)
    return np.concatenate([first, gap, second], axis=1)


def _write(image: np.ndarray, text: str, place: tuple[int, int]) -> None:
    shown = text.encode('ascii', 'replace').decode()  # OpenCV's fonts have nothing else
    cv2.putText(image, shown, place, _FONT, 0.45, _INK, 1, cv2.LINE_AA)
