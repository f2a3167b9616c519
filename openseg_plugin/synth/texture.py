"""Random texture: tiles of smooth noise, made once, from which every object cuts its own piece."""

from functools import cache

import cv2
import numpy as np

SIDE = 512  # pixels of a tile


@cache
def tile(cell: int) -> np.ndarray:
    """Endless tile (SIDE, SIDE) float32 of noise with blobs of ``cell`` pixels; mean 0, std 1."""
    rng = np.random.default_rng(7000 + cell)
    cells = max(SIDE // cell, 2)
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    # a margin of wrapped cells makes the tile fit to itself
    margin = 2
    padded = np.pad(grid, margin, mode='wrap')
    side = SIDE * padded.shape[0] // cells
    smooth = cv2.resize(padded, (side, side), interpolation=cv2.INTER_CUBIC)
    start = (side - SIDE) // 2
    noise = smooth[start : start + SIDE, start : start + SIDE]
    return (noise - noise.mean()) / noise.std()


def piece(rng: np.random.Generator, height: int, width: int, *, cell: float) -> np.ndarray:
    """Noise (height, width) float32 with blobs of about ``cell`` pixels; mean 0, std about 1."""
    base = 4 if cell < 16 else 32
    zoom = max(cell / base, 0.25)
    rows = (np.arange(height) / zoom + rng.integers(SIDE)).astype(np.float32)
    columns = (np.arange(width) / zoom + rng.integers(SIDE)).astype(np.float32)
    grid_x, grid_y = np.meshgrid(columns % SIDE, rows % SIDE)
    return cv2.remap(tile(base), grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def on_ground(x: np.ndarray, z: np.ndarray, *, meters: float) -> np.ndarray:
    """Noise with blobs of ``meters`` at street places x (h, w), z (h, 1)."""
    pixels = 8 / meters  # of the tile with cell 8
    place_x = (x * pixels) % SIDE
    place_z = np.broadcast_to((z * pixels) % SIDE, x.shape)
    return cv2.remap(
        tile(8),
        place_x.astype(np.float32),
        np.ascontiguousarray(place_z, dtype=np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


def vary(rng: np.random.Generator, color, spread: float) -> np.ndarray:
    """A color (3,) near the given one: brightness and hue differ by about ``spread`` (0..1)."""
    bright = 1 + spread * rng.standard_normal()
    return np.asarray(color, float) * bright * (1 + 0.3 * spread * rng.standard_normal(3))


def pick(rng: np.random.Generator, colors, *, spread: float = 0.12) -> np.ndarray:
    """One of the colors, varied."""
    return vary(rng, colors[rng.integers(len(colors))], spread)
