"""An image of what SegFix does to one label map: before, offsets as colours, after.

H, W: size of the maps in pixels.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.report.overlay import blend, colour, draw_row
from openseg_plugin.segfix.offset_files import read_offsets, wheel_colour
from openseg_plugin.segfix.refine import refine_labels
from openseg_plugin.utils.labels import read_label

_WHEEL = 0.16  # radius of the colour key as a fraction of the image's height


def draw_segfix(
    label: Path, offsets: Path, *, image: Path | None = None, scale: int = 2
) -> np.ndarray:
    """before | offsets | after, (h, w, 3) uint8 RGB.

    The colour of an offset is its direction, as the wheel in the corner shows; black stays.

    Args:
        label: label map; a palette in the file gives the colours.
        offsets: file of offsets or of targets.
        image: the image, shown through the labels.
        scale: what offsets are multiplied with.

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
    palette = _palette(label)
    shown = [colour(one, palette) for one in (before, refine_labels(before, steps, scale=scale))]
    if image is not None:
        pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
        if pixels is None or pixels.shape[:2] != before.shape:
            raise DataError(f'{image} is no image of the size of {label}: give its own image')
        shown = [blend(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), one) for one in shown]
    return draw_row(
        [('before', shown[0]), ('offsets', _with_wheel(offset_colours(steps))), ('after', shown[1])]
    )


def offset_colours(steps: np.ndarray) -> np.ndarray:
    """Offsets (H, W, 2) -> their colours (H, W, 3) uint8."""
    colours = np.zeros((*steps.shape[:2], 3), np.uint8)
    for row, column in np.unique(steps.reshape(-1, 2), axis=0):
        same = (steps[..., 0] == row) & (steps[..., 1] == column)
        colours[same] = wheel_colour(int(row), int(column))
    return colours


def _with_wheel(colours: np.ndarray) -> np.ndarray:
    """The same with a key of eight sectors in the lower right corner."""
    height, width = colours.shape[:2]
    radius = max(int(_WHEEL * height), 8)
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    eighth = np.round(np.arctan2(rows, columns) / (np.pi / 4)) * (np.pi / 4)
    directions = np.stack([np.round(np.sin(eighth)), np.round(np.cos(eighth))], axis=-1)
    wheel = offset_colours(directions.astype(np.int8))
    inside = np.hypot(rows, columns) <= radius
    rim = inside & (np.hypot(rows, columns) > radius - 2)
    wheel[rim] = 255
    place = colours[
        height - wheel.shape[0] - 4 : height - 4, width - wheel.shape[1] - 4 : width - 4
    ]
    place[inside] = wheel[inside]
    return colours


def _palette(path: Path) -> list[tuple[int, int, int]]:
    """Colours of the file, or 256 colours that differ from their neighbours."""
    with Image.open(path) as image:
        values = image.getpalette() if image.mode == 'P' else None
    if values:
        return [tuple(values[i : i + 3]) for i in range(0, len(values), 3)]
    hues = np.uint8([[(i * 53 % 180, 110 + i * 37 % 120, 120 + i * 71 % 120) for i in range(255)]])
    return [*map(tuple, cv2.cvtColor(hues, cv2.COLOR_HSV2RGB)[0].tolist()), (0, 0, 0)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror}): give a file') from error
