"""Text of any script in images, drawn by the first font that has its characters.

Tried in turn: DejaVu Sans (ships with matplotlib), the font built into OpenCV 5 (Chinese, Japanese,
Korean), and the fonts of the system. A character that none of them has becomes a box with its code
point, so that it is never silently lost.
"""

import importlib.util
import math
import unicodedata
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = (30, 30, 34)
# DejaVu Sans has all of Latin up to here; other characters are looked up in its table.
_SURELY_LATIN = 0x0250
_BUILT_IN, _MISSING = 'built into OpenCV', ''
_NO_CHARACTER = '\uffff'


def line_height(size: int) -> int:
    """Rows of one line of text of ``size`` pixels."""
    return math.ceil(1.35 * size)


def text_width(text: str, size: int) -> int:
    """Columns that the text takes."""
    return text_mask(text, size).shape[1]


def draw_text(
    canvas: np.ndarray,
    text: str,
    position: tuple[int, int],
    *,
    size: int = 13,
    color: tuple[int, int, int] = INK,
    halo: tuple[int, int, int] | None = None,
) -> None:
    """Draws one line of text into ``canvas``, (H, W, 3) uint8 RGB; what lies outside is cut off.

    Args:
        canvas: changed in place.
        text: any characters.
        position: column and row of the upper left corner of the line.
        size: pixels from the top of the tallest to the bottom of the deepest letter, about.
        color: of the letters.
        halo: color of an outline that keeps the text readable on any ground; None: no outline.
    """
    mask = text_mask(text, size)
    left, top = position
    if halo is not None:
        padded = np.pad(mask, 2)
        grown = cv2.dilate(padded, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
        _paint(canvas, grown, (left - 2, top - 2), halo)
    _paint(canvas, mask, (left, top), color)


def _paint(
    canvas: np.ndarray, mask: np.ndarray, corner: tuple[int, int], color: tuple[int, int, int]
) -> None:
    left, top = corner
    height, width = canvas.shape[:2]
    first_row, first_column = max(-top, 0), max(-left, 0)
    part = mask[first_row : max(height - top, 0), first_column : max(width - left, 0)]
    if not part.size:
        return
    row, column = top + first_row, left + first_column
    ground = canvas[row : row + part.shape[0], column : column + part.shape[1]]
    alpha = part[..., None].astype(np.float32) / 255
    ground[:] = np.round(alpha * np.array(color, np.float32) + (1 - alpha) * ground)


@lru_cache(maxsize=4096)
def text_mask(text: str, size: int) -> np.ndarray:
    """Coverage of every pixel by one line of text, (line_height(size), width) uint8 0..255."""
    # control characters and halves of surrogate pairs, as in names of files that are no text
    shown = ''.join('\ufffd' if unicodedata.category(c) in ('Cc', 'Cs') else c for c in text)
    runs = [(font, ''.join(c)) for font, c in groupby(shown, _font_of)]
    parts = [_run_mask(run, font, size) for font, run in runs]
    if not parts:
        return np.zeros((line_height(size), 0), np.uint8)
    mask = np.concatenate(parts, axis=1)
    mask.setflags(write=False)
    return mask


def _run_mask(run: str, font: str, size: int) -> np.ndarray:
    """Mask of characters that one font has."""
    height, baseline = line_height(size), round(1.02 * size)
    if font == _MISSING:
        return np.concatenate([_box(ord(c), size) for c in run], axis=1)
    if font == _BUILT_IN:
        wide = np.zeros((height, 2 * size * (len(run) + 1), 3), np.uint8)
        face = cv2.FontFace('uni')
        end, drawn = cv2.putText(wide, run, (0, baseline), (255, 255, 255), face, size)
        return np.asarray(drawn)[:, : max(end[0], 1), 0]
    scaled = _face(font, size)
    width = max(math.ceil(scaled.getlength(run)), 1)
    image = Image.new('L', (width, height))
    ImageDraw.Draw(image).text((0, baseline), run, fill=255, font=scaled, anchor='ls')
    return np.asarray(image)


def _box(code: int, size: int) -> np.ndarray:
    """A frame with the code point in it, in two rows of hexadecimal digits."""
    digits = f'{code:04X}'
    rows = (digits[: -(-len(digits) // 2)], digits[-(-len(digits) // 2) :])
    small = max(size // 2, 5)
    face = _face(str(_dejavu()), small)
    width = max(math.ceil(max(face.getlength(row) for row in rows)) + 5, size)
    image = Image.new('L', (width, line_height(size)))
    draw = ImageDraw.Draw(image)
    draw.rectangle((1, 0, width - 2, line_height(size) - 2), outline=160)
    for index, row in enumerate(rows):
        draw.text((3, 1 + index * (line_height(size) - 2) // 2), row, fill=255, font=face)
    return np.asarray(image)


@cache
def _face(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _dejavu() -> Path:
    """File of DejaVu Sans; found without importing matplotlib, which takes a while."""
    found = importlib.util.find_spec('matplotlib')
    folder = Path(found.origin).parent if found is not None and found.origin else Path()
    return folder / 'mpl-data' / 'fonts' / 'ttf' / 'DejaVuSans.ttf'


@lru_cache(maxsize=4096)
def _font_of(character: str) -> str:
    """File of the first font that has the character, or one of the two marks."""
    code = ord(character)
    if code < _SURELY_LATIN or code in _characters(str(_dejavu())):
        return str(_dejavu())
    if _is_built_in(character):
        return _BUILT_IN
    for path in _system_fonts():
        if code in _characters(path):
            return path
    return _MISSING


@cache
def _characters(path: str) -> frozenset[int]:
    """Code points of a font file; none of one that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (RuntimeError, OSError, ValueError):
        return frozenset()


@cache
def _system_fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import findSystemFonts

    return tuple(sorted(path for path in findSystemFonts() if 'LastResort' not in path))


def _is_built_in(character: str) -> bool:
    """Whether OpenCV draws it otherwise than a character that no font has."""
    if not hasattr(cv2, 'FontFace'):  # OpenCV 4
        return False
    drawn, unknown = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)
    for canvas, one in ((drawn, character), (unknown, _NO_CHARACTER)):
        cv2.putText(canvas, one, (5, 30), (255, 255, 255), cv2.FontFace('uni'), 24)
    return bool(drawn.any()) and not np.array_equal(drawn, unknown)
