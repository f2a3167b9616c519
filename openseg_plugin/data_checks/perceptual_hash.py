"""Tells copies of an image in another format, encoding or size from images that are only alike.

Two steps. An *image hash* is 64 bits: whether the brightness rises between neighboring cells of a
coarse grid (a difference hash); copies differ in few of them. Video frames taken one after another
may have equal hashes too, so pairs of near hashes are compared pixel by pixel.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

_CELLS = (9, 8)  # width, height: 8 differences in each of 8 rows
_FLAT = 2.0  # gray levels of spread below which an image has no hash
_SHARPEST = 64  # pixels of the shorter side that decoding leaves at least
_REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}
# Copies differ in at most 6 bits (JPEG quality 30, half size). 8 parts of 8 bits, so that two
# hashes which differ in 7 bits or fewer have a part in common.
NEAR = 7
_ONES = np.array([bin(v).count('1') for v in range(256)], np.uint8)

# Gray levels. Measured on CamVid at a side of at most 256 pixels, means over 7x7 pixels: copies
# (JPEG 30 to 95, WebP, 0.5 to 2 times the size) differ by at most 8.2 anywhere, frames one second
# apart with a standing camera by at least 11.7 somewhere.
_SIDE, _MEAN_OVER, _LARGEST, _AVERAGE = 256, 7, 9.0, 2.0


def shrunk(content: bytes, size: Sequence[int]) -> np.ndarray | None:
    """An image in gray, (h, w) uint8, of no more pixels than a hash needs; None: not decoded.

    Args:
        content: of the file.
        size: width and height in its header.
    """
    if not _is_plain(content):
        return _wide(content)
    factor = next((f for f in _REDUCED if min(size) >= f * _SHARPEST), 1)
    # only JPEG is decoded at a fraction of the size by means; other formats leave pixels out
    flag = _REDUCED.get(factor) if content.startswith(b'\xff\xd8') else None
    flag = cv2.IMREAD_GRAYSCALE if flag is None else flag
    return _decoded(content, flag)


def image_hash(image: np.ndarray) -> str | None:
    """The hash of an image in gray as 16 hexadecimal digits; None where it is flat."""
    cells = cv2.resize(image.astype(np.float32), _CELLS, interpolation=cv2.INTER_AREA)
    if cells.std() < _FLAT:
        return None
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes().hex()


def _decoded(content: bytes, flag: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error:
        return None


def near_hashes(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """(bits that differ, place in ``one``, place in ``other``) of hashes that are near, once each.

    Hashes are compared where a part of 8 bits is equal: all pairs would be too many.
    """
    if not one or not other:
        return
    left, right = _bytes(one), _bytes(other)
    for part in range(8):
        for value in np.intersect1d(left[:, part], right[:, part]):
            i = np.flatnonzero(left[:, part] == value)
            j = np.flatnonzero(right[:, part] == value)
            for start in range(0, len(i), 1024):  # bounds the memory
                yield from _near(left, right, i[start : start + 1024], j, part)


def _near(
    left: np.ndarray, right: np.ndarray, i: np.ndarray, j: np.ndarray, part: int
) -> Iterator[tuple[int, int, int]]:
    differ = left[i][:, None] ^ right[j][None]  # (I, J, 8)
    bits = _ONES[differ].sum(-1)
    found = bits <= NEAR
    found &= (differ[..., :part] != 0).all(-1)  # an earlier part was equal: given already
    for a, b in np.argwhere(found):
        yield int(bits[a, b]), int(i[a]), int(j[b])


def _bytes(hashes: Sequence[str]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(''.join(hashes)), np.uint8).reshape(-1, 8)


def same_image(one: Path, other: Path) -> bool:
    """Whether two files show the same pixels, apart from what encoding and resizing change."""
    first, second = gray_image(one), gray_image(other)
    if first is None or second is None:
        return False
    small, large = sorted((first, second), key=lambda image: image.size)
    height, width = small.shape
    factor = min(1.0, _SIDE / max(height, width))
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    if abs(width * large.shape[0] / (height * large.shape[1]) - 1) > 0.2:
        return False  # a cut-out, not a copy
    fitted = [
        cv2.resize(p, size, interpolation=cv2.INTER_AREA).astype(np.float32) for p in (small, large)
    ]
    means = [cv2.blur(p, (_MEAN_OVER, _MEAN_OVER)) for p in fitted]
    difference = np.abs(means[0] - means[1])
    return float(difference.max()) <= _LARGEST and float(difference.mean()) <= _AVERAGE


def gray_image(path: Path | None) -> np.ndarray | None:
    """An image file in gray, (H, W) uint8; None where OpenCV does not read it."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return _decoded(content, cv2.IMREAD_GRAYSCALE) if _is_plain(content) else _wide(content)


def to_gray(image: np.ndarray) -> np.ndarray:
    """Bands of any type and number, (H, W) or (H, W, C) -> (H, W) uint8, stretched to 0..255."""
    wide = image.astype(np.float32)
    wide = np.nan_to_num(wide if wide.ndim == 2 else wide.mean(-1))
    low, high = (float(v) for v in np.percentile(wide, (0.5, 99.5))) if wide.size else (0.0, 0.0)
    return np.clip((wide - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)


def _is_plain(content: bytes) -> bool:
    """Whether the file cannot hold more than 8 bits per channel, and no more than 4 of those."""
    return content.startswith((b'\xff\xd8', b'\x89PNG', b'BM', b'RIFF', b'GIF'))


def _wide(content: bytes) -> np.ndarray | None:
    image = _decoded(content, cv2.IMREAD_UNCHANGED)
    return None if image is None else to_gray(image)
