"""Edge maps of label maps, as the human parsing and boundary methods use them (CE2P, OpenSeg)."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from openseg_plugin.converters.datasets.core.plan import RenderTask, in_split

_EDGE = 255
_IGNORE = 255
DEFAULT_WIDTH = 3


def edge_map(label: np.ndarray, *, width: int) -> np.ndarray:
    """Pixels near a change of class: (H, W) uint8, 255 on edges, else 0.

    Two neighbours with different labels, neither 255, make an edge: the lower one of a vertical
    pair, the left one of a horizontal pair, the upper one of a diagonal pair. Then the edge is
    widened by a square.

    Args:
        label: (H, W) uint8.
        width: side of the square in pixels; even squares reach one pixel further down and right.
    """
    edge = np.zeros(label.shape, bool)
    edge[1:] |= _differ(label[:-1], label[1:])
    edge[:, :-1] |= _differ(label[:, :-1], label[:, 1:])
    edge[:-1, :-1] |= _differ(label[:-1, :-1], label[1:, 1:])
    edge[:-1, 1:] |= _differ(label[:-1, 1:], label[1:, :-1])
    square = np.ones((width, width), np.uint8)
    return cv2.dilate(edge.astype(np.uint8) * _EDGE, square)


def edge_draws(
    split: str, name: str, widths: tuple[int, ...], make: Callable[[], np.ndarray] | None = None
) -> tuple[RenderTask, ...]:
    """The edge maps of a sample.

    Args:
        split: split of the sample.
        name: file name of the label.
        widths: the first goes to the folder ``edge``, others to ``edge_width<n>``.
        make: gives the label map that edges are taken from; None: that of the sample.
    """
    draws = []
    for i, width in enumerate(widths):
        folder = 'edge' if i == 0 else f'edge_width{width}'
        how = partial(edge_map, width=width) if make is None else partial(_edge_of, make, width)
        draws.append(
            RenderTask(in_split(split, folder, name), how, kind='edge', of_label=make is None)
        )
    return tuple(draws)


def _edge_of(make: Callable[[], np.ndarray], width: int) -> np.ndarray:
    return edge_map(make(), width=width)


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b) & (a != _IGNORE) & (b != _IGNORE)
