"""Files of offsets, the published ``.mat`` and a compact ``.png``, and of training targets.

Compact offsets: a palette PNG, 4 bits per pixel for up to 15 directions. Value 0 stays; value v
moves by the v-th (rows, columns) pair of the text chunk ``openseg_plugin.offsets``, which reads
``0,0; 0,-1; -1,-1; ...``. The palette is a color wheel, so any viewer shows the directions.

At 1024 x 2048 that takes about 40 KB, where the int32 pairs are 16 MB and their deflated ``.mat``
90 KB. Targets are ``.mat`` only: a PNG of their two bytes per pixel is no smaller.

H, W: size of a map in pixels.
"""

import colorsys
import io
import math
import warnings

import cv2
import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from openseg_plugin.errors import DataError
from openseg_plugin.layers.direction_field import (
    NUM_DIRECTIONS,
    angle_to_direction,
    decode_angles,
    direction_to_offset,
    direction_vectors,
)
from openseg_plugin.segfix.mat_files import (
    MAX_STEP,
    as_steps,
    mat_bytes,
    read_mat,
    read_offset_mat,
    require_size,
)
from openseg_plugin.utils.matlab import MissingArrayError

SUFFIXES = ('.mat', '.png')
OFFSET_KEY = 'openseg_plugin.offsets'

_DEGREES_PER_BYTE = 2
_BAND = 5  # pixels; deepest boundary pixel of the published training settings


def read_offsets(data: bytes, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Offsets (H, W, 2) int8 of the file ``name`` with content ``data``.

    A target file gives the offsets of the ground truth: 8 directions, pixels up to 5 deep.

    Args:
        data: content of the file.
        name: of the file, for its kind and for messages.
        size: (H, W) that they must have, compared before anything large is unpacked; None: any.

    Raises:
        DataError: the content is broken or something else.
    """
    if name.endswith('.mat'):
        try:
            return read_offset_mat(data, name, size)
        except MissingArrayError as missing:
            if 'depth' not in missing.found:
                raise
            return offsets_of_targets(*read_targets(data, name))
    codes, text = _read_png(data, name, size)
    table = _parse_table(text.get(OFFSET_KEY, ''), name)
    if codes.ndim != 2 or codes.dtype != np.uint8 or (codes.size and codes.max() >= len(table)):
        raise DataError(f'{name}: its pixels do not fit its table of offsets: predict it again')
    # a table of byte pairs seen as one of 16 bit numbers: one lookup per pixel
    pairs = np.zeros(256, np.int16)
    pairs[: len(table)] = table.view(np.int16)[:, 0]
    return cv2.LUT(codes, pairs).view(np.int8).reshape(*codes.shape, 2)


def offset_bytes(offsets: np.ndarray, suffix: str) -> bytes:
    """Content of a file of offsets.

    Args:
        offsets: (H, W, 2) integers of at most ``MAX_STEP``.
        suffix: '.png' (compact) or '.mat' (as published: int32, array ``mat``).

    Raises:
        DataError: larger offsets.
    """
    steps = as_steps(offsets, 'these offsets')
    if suffix == '.mat':
        return mat_bytes(mat=steps.astype(np.int32))
    side = 2 * MAX_STEP + 1
    keys = (steps[..., 0] + MAX_STEP).astype(np.uint8) * side + (steps[..., 1] + MAX_STEP)
    present = np.flatnonzero(np.bincount(keys.reshape(-1).astype(np.uint8), minlength=side * side))
    vectors = _table_with({(int(k) // side - MAX_STEP, int(k) % side - MAX_STEP) for k in present})
    codes = np.zeros(256, np.uint8)
    for code, (row, column) in enumerate(vectors):
        codes[(row + MAX_STEP) * side + column + MAX_STEP] = code
    image = Image.fromarray(cv2.LUT(keys.astype(np.uint8), codes))
    image.putpalette(bytes(part for vector in vectors for part in wheel_color(*vector)))
    text = '; '.join(f'{row},{column}' for row, column in vectors)
    info = PngImagePlugin.PngInfo()
    info.add_text(OFFSET_KEY, text)
    buffer = io.BytesIO()
    bits = 4 if len(vectors) <= 16 else 8
    image.save(buffer, 'PNG', pnginfo=info, compress_level=7, bits=bits)
    return buffer.getvalue()


def read_targets(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Depth and direction byte, both (H, W) uint8, of a target file.

    Raises:
        DataError: the content is broken or something else.
    """
    arrays = read_mat(data, ['depth', 'dir_deg', 'deg_reduce'], name)
    step = arrays['deg_reduce'].reshape(-1)
    if step.size != 1 or step[0] != _DEGREES_PER_BYTE:
        raise DataError(f'{name}: deg_reduce is {step}; {_DEGREES_PER_BYTE} is needed')
    depth, direction = arrays['depth'], arrays['dir_deg']
    if depth.shape != direction.shape or depth.ndim != 2 or direction.max(initial=0) > 180:
        raise DataError(
            f'{name}: depth {depth.shape} and dir_deg {direction.shape} must be of one size, and '
            'dir_deg at most 180: make the targets again'
        )
    return (
        np.ascontiguousarray(depth.astype(np.uint8)),
        np.ascontiguousarray(direction.astype(np.uint8)),
    )


def target_bytes(depth: np.ndarray, direction: np.ndarray) -> bytes:
    """Content of a target file.

    Args:
        depth: (H, W) uint8, pixels.
        direction: (H, W) uint8, direction byte 0..180.
    """
    step = np.array([[_DEGREES_PER_BYTE]], np.int64)
    return mat_bytes(depth=depth, dir_deg=direction, deg_reduce=step)


def offsets_of_targets(
    depth: np.ndarray, direction: np.ndarray, *, max_distance: int = _BAND, num_directions: int = 8
) -> np.ndarray:
    """Offsets (H, W, 2) int8 of the ground truth itself: what a perfect network would say.

    Args:
        depth: (H, W) uint8; pixels of depth 0 belong to no region and stay.
        direction: (H, W) direction byte.
        max_distance: deepest pixel that moves.
        num_directions: 4, 8, 16 or 32.
    """
    classes = angle_to_direction(decode_angles(direction), num_directions=num_directions)
    band = (depth > 0) & (depth <= max_distance)
    return direction_to_offset(classes, band, num_directions=num_directions)


def wheel_color(row: int, column: int) -> tuple[int, int, int]:
    """RGB of an offset: hue for the direction, strength for the length; black stays."""
    if not (row or column):
        return 0, 0, 0
    turn = (math.atan2(row, column) / math.tau) % 1
    value = 0.6 + 0.4 * max(abs(row), abs(column)) / MAX_STEP
    red, green, blue = colorsys.hsv_to_rgb(turn, 1, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _table_with(present: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """A published table that has all vectors, else just those; (0, 0) first."""
    present.discard((0, 0))
    for number in (8, *NUM_DIRECTIONS):
        if present <= set(direction_vectors(number)):
            return [(0, 0), *direction_vectors(number)]
    return [(0, 0), *sorted(present)]


def _parse_table(text: str, name: str) -> np.ndarray:
    """The vectors of an offset PNG, (number, 2) int8."""
    try:
        table = np.array([[int(step) for step in pair.split(',')] for pair in text.split(';')])
    except ValueError:
        table = np.zeros((0, 0))
    if table.ndim != 2 or table.shape[1] != 2 or len(table) > 256:
        raise DataError(
            f'{name} is a PNG without a table of offsets: it is an image or a label map, not a '
            'file that openseg segfix wrote'
        )
    return np.ascontiguousarray(as_steps(table, name))


def _read_png(
    data: bytes, name: str, size: tuple[int, int] | None
) -> tuple[np.ndarray, dict[str, str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=['PNG']) as image:
                require_size((image.height, image.width), size, name)
                return np.asarray(image), dict(getattr(image, 'text', {}))
    except UnidentifiedImageError as error:
        raise DataError(f'{name} is not a PNG: replace it by an intact copy') from error
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f'{name} is broken ({error}): replace it by an intact copy') from error
