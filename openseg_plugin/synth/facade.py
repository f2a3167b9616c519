"""Flat textures of house fronts: windows, doors, shops, plaster or brick. (h, w, 3) RGB."""

from dataclasses import dataclass

import cv2
import numpy as np

from openseg_plugin.synth import texture

_PLASTER = [
    *((188, 178, 160), (168, 160, 150), (196, 184, 148), (150, 146, 144), (178, 150, 132)),
    *((206, 202, 194), (132, 122, 114), (186, 168, 128), (160, 172, 178), (112, 108, 108)),
]
_BRICK = [(142, 92, 76), (126, 84, 70), (154, 112, 88), (110, 82, 74)]
_GLASS = [(62, 72, 84), (48, 54, 62), (86, 98, 112), (104, 120, 136), (40, 42, 46)]
_DETAILED = 7  # pixels per metre; below, a window is one patch
_AWNING = [(158, 52, 48), (52, 92, 74), (64, 82, 128), (186, 160, 92), (90, 90, 94)]


@dataclass(frozen=True)
class Style:
    """What the faces of one house share. Lengths in metres."""

    wall: np.ndarray
    brick: bool
    glass: np.ndarray
    frame: np.ndarray
    storey: float
    bay: float
    window: tuple[float, float]  # width, height
    shop: bool
    office: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, theme: str) -> 'Style':
        """A random style of a theme of :mod:`~openseg_plugin.synth.layout`."""
        brick = rng.random() < 0.25
        city = theme == 'city'
        return cls(
            wall=texture.pick(rng, _BRICK if brick else _PLASTER),
            brick=bool(brick),
            glass=texture.pick(rng, _GLASS),
            frame=texture.pick(rng, [(206, 204, 200), (120, 112, 104), (84, 78, 74)]),
            storey=rng.uniform(2.7, 3.5),
            bay=rng.uniform(2.0, 3.4),
            window=(rng.uniform(0.9, 1.5), rng.uniform(1.2, 1.9)),
            shop=bool(rng.random() < (0.55 if city else 0.08)),
            office=bool(city and rng.random() < 0.18),
        )


def draw_facade(
    rng: np.random.Generator, style: Style, length: float, height: float, *, per_metre: float
) -> np.ndarray:
    """Texture of a face of length x height metres; top row first."""
    rows, columns = max(int(height * per_metre), 4), max(int(length * per_metre), 4)
    wall = style.wall.astype(np.float32)
    stain = np.float32(0.05) * texture.piece(rng, rows, columns, cell=3 * per_metre)
    stain += np.float32(0.03) * texture.piece(rng, rows, columns, cell=max(0.15 * per_metre, 1))
    if style.brick:
        y = np.arange(rows, dtype=np.float32) / np.float32(per_metre)
        x = np.arange(columns, dtype=np.float32) / np.float32(per_metre)
        course = np.floor(y / 0.25)
        stone = np.floor(x[None, :] / 0.6 + 0.5 * (course[:, None] % 2)) * 7.13 + course[:, None]
        stain = stain + 0.07 * np.sin(stone * 91.7)
        stain = stain - 0.12 * ((y / 0.25) % 1 < 0.2)[:, None]
    image = np.clip(wall * (1 + stain[..., None]), 0, 255).astype(np.uint8)
    painter = _Painter(rng, style, image, per_metre, length, height)
    base = style.storey * 1.15 if style.shop else 0.0
    if style.shop:
        painter.shop(base)
    painter.storeys(base)
    return image


class _Painter:
    """Paints details on a facade; x from the left, y from the street upwards, metres."""

    def __init__(self, rng, style: Style, image: np.ndarray, per_metre, length, height) -> None:
        self.rng, self.style, self.image = rng, style, image
        self.per_metre, self.length, self.height = per_metre, length, height

    def box(self, x: float, y: float, width: float, height: float, colour) -> None:
        """Fills a rectangle."""
        rows, scale = len(self.image), self.per_metre
        top, bottom = round(float(rows - (y + height) * scale)), round(float(rows - y * scale))
        left, right = round(float(x * scale)), round(float((x + width) * scale))
        if right > left and bottom > top:
            shown = [min(max(int(c), 0), 255) for c in colour]
            self.image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = shown

    def storeys(self, base: float) -> None:
        """Rows of windows above ``base``; the lowest has doors when there is no shop."""
        style, rng = self.style, self.rng
        bays = max(int((self.length - 0.6) / style.bay), 1)
        first = (self.length - bays * style.bay) / 2
        door = int(rng.integers(bays)) if base == 0 else -1
        ledge = rng.random() < 0.5
        for storey in range(max(int((self.height - base - 0.3) / style.storey), 1)):
            floor = base + storey * style.storey
            if ledge:
                self.box(0, floor, self.length, 0.12, style.wall * 0.8)
            if style.office:
                self.box(0.2, floor + 0.9, self.length - 0.4, style.storey - 1.3, self._pane())
            for bay in range(bays):
                middle = first + (bay + 0.5) * style.bay
                if storey == 0 and bay == door:
                    self.box(middle - 0.6, 0, 1.2, 2.3, style.frame * 0.9)
                    self.box(middle - 0.5, 0, 1.0, 2.15, texture.pick(rng, _AWNING) * 0.7)
                elif style.office:
                    self.box(middle - 0.06, floor + 0.9, 0.12, style.storey - 1.3, style.frame)
                else:
                    self._window(middle, floor + 0.85)

    def _pane(self) -> np.ndarray:
        """Colour of a window: glass that mirrors the sky, a curtain, or a lamp behind it."""
        kind = self.rng.random()
        if kind < 0.12:
            return np.array([196, 190, 178]) * self.rng.uniform(0.7, 1.0)
        if kind < 0.16:
            return np.array([226, 200, 142])
        return self.style.glass * self.rng.uniform(0.7, 1.35)

    def _window(self, middle: float, bottom: float) -> None:
        width, height = self.style.window
        left = middle - width / 2
        if self.per_metre < _DETAILED:
            self.box(left, bottom, width, height, self._pane())
            return
        self.box(left - 0.1, bottom - 0.12, width + 0.2, height + 0.22, self.style.frame)
        self.box(left, bottom, width, height, self._pane())
        self.box(left, bottom + height * 0.6, width, height * 0.4, self._pane())
        self.box(middle - 0.04, bottom, 0.08, height, self.style.frame * 0.92)
        if self.rng.random() < 0.06:
            self.box(left - 0.3, bottom - 0.25, width + 0.6, 0.9, self.style.wall * 0.66)

    def shop(self, height: float) -> None:
        """Glass front, signboard, perhaps an awning."""
        x, rng = 0.3, self.rng
        self.box(0, 0, self.length, height, self.style.wall * rng.uniform(0.6, 0.95))
        while x < self.length - 1.2:
            width = min(rng.uniform(1.4, 4.0), self.length - x - 0.3)
            self.box(x, 0.45, width, height - 1.2, self._pane())
            board = texture.pick(rng, _AWNING) * rng.uniform(0.7, 1.4)
            self.box(x - 0.1, height - 0.7, width + 0.2, 0.5, board)
            if self.per_metre < _DETAILED:
                x += width + 0.4
                continue
            goods = rng.integers(2, 6)
            for k in range(goods):
                colour = rng.uniform(30, 220, 3)
                self.box(
                    x + width * k / goods, 0.5, width / goods * 0.8, rng.uniform(0.3, 1.2), colour
                )
            for k in range(int(width / 0.35)):
                if rng.random() < 0.7:
                    self.box(x + 0.2 + 0.3 * k, height - 0.57, 0.18, 0.25, 235 - board * 0.4)
            if rng.random() < 0.3:
                self.box(x - 0.1, height - 1.3, width + 0.2, 0.55, texture.pick(rng, _AWNING))
            x += width + rng.uniform(0.2, 0.7)


def warp(image: np.ndarray, corners: np.ndarray, origin: np.ndarray, shape) -> np.ndarray:
    """Texture seen in perspective: (h, w, 3) of a window of the canvas.

    Args:
        image: the texture.
        corners: canvas points (4, 2) of its top left, top right, bottom right, bottom left.
        origin: canvas point of the window's first pixel.
        shape: (h, w) of the window.
    """
    rows, columns = image.shape[:2]
    source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (corners - origin).astype(np.float32))
    return cv2.warpPerspective(
        image, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
