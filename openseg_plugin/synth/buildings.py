"""Houses along the street, and the walls and fences in front of them.

Flat textures of house fronts: windows, doors, shops, plaster or brick. (h, w, 3) RGB.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Canvas, Patch
from openseg_plugin.synth.layout import Side

_PLASTER = [
    *((188, 178, 160), (168, 160, 150), (196, 184, 148), (150, 146, 144), (178, 150, 132)),
    *((206, 202, 194), (132, 122, 114), (186, 168, 128), (160, 172, 178), (112, 108, 108)),
]
_BRICK = [(142, 92, 76), (126, 84, 70), (154, 112, 88), (110, 82, 74)]
_GLASS = [(62, 72, 84), (48, 54, 62), (86, 98, 112), (104, 120, 136), (40, 42, 46)]
_DETAILED = 7  # pixels per meter; below, a window is one patch
_AWNING = [(158, 52, 48), (52, 92, 74), (64, 82, 128), (186, 160, 92), (90, 90, 94)]


@dataclass(frozen=True)
class Style:
    """What the faces of one house share. Lengths in meters."""

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
    rng: np.random.Generator, style: Style, length: float, height: float, *, per_meter: float
) -> np.ndarray:
    """Texture of a face of length x height meters; top row first."""
    rows, columns = max(int(height * per_meter), 4), max(int(length * per_meter), 4)
    wall = style.wall.astype(np.float32)
    stain = np.float32(0.05) * texture.piece(rng, rows, columns, cell=3 * per_meter)
    stain += np.float32(0.03) * texture.piece(rng, rows, columns, cell=max(0.15 * per_meter, 1))
    if style.brick:
        y = np.arange(rows, dtype=np.float32) / np.float32(per_meter)
        x = np.arange(columns, dtype=np.float32) / np.float32(per_meter)
        course = np.floor(y / 0.25)
        stone = np.floor(x[None, :] / 0.6 + 0.5 * (course[:, None] % 2)) * 7.13 + course[:, None]
        stain = stain + 0.07 * np.sin(stone * 91.7)
        stain = stain - 0.12 * ((y / 0.25) % 1 < 0.2)[:, None]
    image = np.clip(wall * (1 + stain[..., None]), 0, 255).astype(np.uint8)
    painter = _Painter(rng, style, image, per_meter, length, height)
    base = style.storey * 1.15 if style.shop else 0.0
    if style.shop:
        painter.shop(base)
    painter.storeys(base)
    return image


class _Painter:
    """Paints details on a facade; x from the left, y from the street upwards, meters."""

    def __init__(self, rng, style: Style, image: np.ndarray, per_meter, length, height) -> None:
        self.rng, self.style, self.image = rng, style, image
        self.per_meter, self.length, self.height = per_meter, length, height

    def box(self, x: float, y: float, width: float, height: float, color) -> None:
        """Fills a rectangle."""
        rows, scale = len(self.image), self.per_meter
        top, bottom = round(float(rows - (y + height) * scale)), round(float(rows - y * scale))
        left, right = round(float(x * scale)), round(float((x + width) * scale))
        if right > left and bottom > top:
            shown = [min(max(int(c), 0), 255) for c in color]
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
        """Color of a window: glass that mirrors the sky, a curtain, or a lamp behind it."""
        kind = self.rng.random()
        if kind < 0.12:
            return np.array([196, 190, 178]) * self.rng.uniform(0.7, 1.0)
        if kind < 0.16:
            return np.array([226, 200, 142])
        return self.style.glass * self.rng.uniform(0.7, 1.35)

    def _window(self, middle: float, bottom: float) -> None:
        width, height = self.style.window
        left = middle - width / 2
        if self.per_meter < _DETAILED:
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
            if self.per_meter < _DETAILED:
                x += width + 0.4
                continue
            goods = rng.integers(2, 6)
            for k in range(goods):
                color = rng.uniform(30, 220, 3)
                self.box(
                    x + width * k / goods, 0.5, width / goods * 0.8, rng.uniform(0.3, 1.2), color
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


_ROOF = [(112, 70, 58), (86, 80, 82), (128, 92, 72), (66, 66, 72)]
_STONE = [(150, 144, 134), (124, 118, 112), (172, 164, 152), (136, 98, 82)]
_METAL = [(62, 72, 66), (96, 100, 104), (148, 148, 146), (108, 84, 62), (44, 46, 50)]
_TEXELS = 420  # longest side of a facade texture


class House:
    """A box along one side of the street. Meters.

    Attributes:
        side: -1 left, 1 right.
        front: distance from the axis (of X) of the face towards the street.
        near, far: Z of both ends.
        height: of the walls; ``roof`` is the height of the ridge above them, 0 for a flat roof.
    """

    def __init__(
        self, side: int, front: float, near: float, far: float, height: float, roof: float
    ):
        self.side, self.front, self.near, self.far = side, front, max(near, 1.2), far
        self.height, self.roof = height, roof
        self.deep = 11.0

    def corner(self, *, back: bool, z: float, y: float) -> list[float]:
        """Street point of an edge of the box."""
        return [self.side * (self.front + (self.deep if back else 0)), y, z]


def draw_house(canvas: Canvas, rng: np.random.Generator, house: House, theme: str) -> None:
    """Roof, the end that faces the camera, and the face along the street."""
    style = Style.draw(rng, theme)
    camera, h = canvas.camera, house.height
    points = [
        house.corner(back=back, z=z, y=y)
        for back in (False, True)
        for z in (house.near, house.far)
        for y in (0.0, h + house.roof)
    ]
    patch = Patch(canvas, camera.project(points))
    if patch.empty:
        return
    if house.roof:
        _draw_roof(canvas, patch, house, texture.pick(rng, _ROOF))
    near, far = house.near, house.far
    end = [(False, near), (True, near)] if house.side > 0 else [(True, near), (False, near)]
    along = [(False, far), (False, near)] if house.side > 0 else [(False, near), (False, far)]
    light = canvas.light
    for edges, length, lit in (
        (end, house.deep, light.facing(0, 0, 1)),
        (along, far - near, light.facing(-house.side, 0, 0)),
    ):
        distance = min(z for _, z in edges)
        per_meter = min(camera.scale(max(distance, 5)), _TEXELS / max(length, h), 40)
        image = draw_facade(rng, style, length, h, per_meter=per_meter)
        corners = camera.project(
            [house.corner(back=back, z=z, y=h) for back, z in edges]
            + [house.corner(back=back, z=z, y=0.0) for back, z in reversed(edges)]
        )
        _paste(patch, image, corners, lit=lit)
    canvas.lay(patch, depth=(near + min(far, near + 15)) / 2, label='building')


def _draw_roof(canvas: Canvas, patch: Patch, house: House, color: np.ndarray) -> None:
    """Gable roof whose ridge runs along the street."""
    top, ridge = house.height, house.height + house.roof
    middle = house.side * (house.front + house.deep / 2)
    eaves = [house.corner(back=False, z=z, y=top) for z in (house.near, house.far)]
    slope = [eaves[0], eaves[1], [middle, ridge, house.far], [middle, ridge, house.near]]
    lit = canvas.light.facing(-house.side * 0.6, 0.8, 0)
    patch.fill(canvas.camera.project(slope), color, lit=lit)
    gable = [eaves[0], house.corner(back=True, z=house.near, y=top), [middle, ridge, house.near]]
    patch.fill(canvas.camera.project(gable), color * 1.25, lit=canvas.light.facing(0, 0, 1))


def _paste(patch: Patch, image: np.ndarray, corners: np.ndarray, *, lit: float) -> None:
    """Lays a texture into the quadrilateral ``corners`` (4, 2)."""
    rows, columns = patch.alpha.shape
    low = np.clip(np.floor(corners.min(0) - patch.origin) - 1, 0, (columns, rows)).astype(int)
    high = np.clip(np.ceil(corners.max(0) - patch.origin) + 2, 0, (columns, rows)).astype(int)
    if np.any(high <= low):
        return
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    below = patch.rgb[window].copy()
    before = patch.alpha[window].copy()
    patch.alpha[window] = 0
    patch.fill(corners, (0, 0, 0))
    face = warp(image, corners, patch.origin + low, before.shape)
    face = np.clip(face * (patch.light.tint * lit).astype(np.float32), 0, 255).astype(np.uint8)
    inside = (patch.alpha[window] > 0)[..., None]
    patch.rgb[window] = np.where(inside, face, below)
    np.maximum(patch.alpha[window], before, out=patch.alpha[window])


def draw_wall(
    canvas: Canvas, rng: np.random.Generator, side: Side, x: float, near: float, far: float
) -> None:
    """A stone wall along the street at distance ``x``; 0.8 to 2.4 m high."""
    height = rng.uniform(0.8, 2.4)
    near = max(near, 1.2)
    corners = canvas.camera.project(
        [[side.sign * x, y, z] for z, y in ((far, height), (near, height), (near, 0), (far, 0))]
    )
    if side.sign < 0:
        corners = corners[[1, 0, 3, 2]]
    style = Style.draw(rng, 'suburb')
    per_meter = min(1.3 * canvas.camera.scale(max(near, 5)), _TEXELS / (far - near))
    rows, columns = max(int(height * per_meter), 3), max(int((far - near) * per_meter), 3)
    stain = 0.06 * texture.piece(rng, rows, columns, cell=per_meter)
    if style.brick or rng.random() < 0.5:
        blocks = np.floor(np.arange(rows) / per_meter / 0.3)[:, None]
        stones = np.floor(np.arange(columns) / per_meter / 0.5 + 0.5 * (blocks % 2))
        stain = stain + 0.08 * np.sin(stones * 57.3 + blocks * 13.7)
    image = np.clip(texture.pick(rng, _STONE) * (1 + stain[..., None]), 0, 255)
    image[: max(int(0.1 * per_meter), 1)] *= 1.12
    patch = Patch(canvas, corners)
    if not patch.empty:
        image = np.clip(image, 0, 255).astype(np.uint8)
        _paste(patch, image, corners, lit=canvas.light.facing(-side.sign, 0, 0))
        canvas.lay(patch, depth=near, label='wall')


def draw_fence(
    canvas: Canvas, rng: np.random.Generator, side: Side, x: float, near: float, far: float
) -> None:
    """Bars or mesh with the background between them; the outline is the whole field."""
    height, gap = rng.uniform(0.9, 1.8), rng.choice([0.12, 0.2, 1.2])
    color = texture.pick(rng, _METAL)
    camera, near = canvas.camera, max(near, 1.2)

    def at(z: float, y: float) -> list[float]:
        return [side.sign * x, y, z]

    field = camera.project([at(far, height), at(near, height), at(near, 0), at(far, 0)])
    patch = Patch(canvas, field)
    if patch.empty:
        return
    patch.hold(field)
    lit = canvas.light.facing(-side.sign, 0.2, 0.3)
    rails = (0.12, height) if gap < 1 else np.linspace(0.3, height, 3)
    for y in rails:
        ends = camera.project([at(near, y), at(far, y)])
        patch.line(ends, color, width=0.05 * camera.scale((near + far) / 2), lit=lit)
    for z in np.arange(near, far, gap):
        width = (0.03 if gap < 1 else 0.08) * camera.scale(z)
        bar = camera.project([at(z, 0), at(z, height)])
        patch.line(bar, color, width=width, lit=lit * rng.uniform(0.85, 1.15))
    canvas.lay(patch, depth=near, label='fence')
