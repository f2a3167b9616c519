"""Houses along the street, and the walls and fences in front of them."""

import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Canvas, Patch
from openseg_plugin.synth.facade import Style, draw_facade, warp
from openseg_plugin.synth.layout import Side

_ROOF = [(112, 70, 58), (86, 80, 82), (128, 92, 72), (66, 66, 72)]
_STONE = [(150, 144, 134), (124, 118, 112), (172, 164, 152), (136, 98, 82)]
_METAL = [(62, 72, 66), (96, 100, 104), (148, 148, 146), (108, 84, 62), (44, 46, 50)]
_TEXELS = 420  # longest side of a facade texture


class House:
    """A box along one side of the street. Metres.

    Attributes:
        side: -1 left, 1 right.
        front: distance |X| of the face towards the street.
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
        per_metre = min(camera.scale(max(distance, 5)), _TEXELS / max(length, h), 40)
        image = draw_facade(rng, style, length, h, per_metre=per_metre)
        corners = camera.project(
            [house.corner(back=back, z=z, y=h) for back, z in edges]
            + [house.corner(back=back, z=z, y=0.0) for back, z in reversed(edges)]
        )
        _paste(patch, image, corners, lit=lit)
    canvas.lay(patch, depth=(near + min(far, near + 15)) / 2, label='building')


def _draw_roof(canvas: Canvas, patch: Patch, house: House, colour: np.ndarray) -> None:
    """Gable roof whose ridge runs along the street."""
    top, ridge = house.height, house.height + house.roof
    middle = house.side * (house.front + house.deep / 2)
    eaves = [house.corner(back=False, z=z, y=top) for z in (house.near, house.far)]
    slope = [eaves[0], eaves[1], [middle, ridge, house.far], [middle, ridge, house.near]]
    lit = canvas.light.facing(-house.side * 0.6, 0.8, 0)
    patch.fill(canvas.camera.project(slope), colour, lit=lit)
    gable = [eaves[0], house.corner(back=True, z=house.near, y=top), [middle, ridge, house.near]]
    patch.fill(canvas.camera.project(gable), colour * 1.25, lit=canvas.light.facing(0, 0, 1))


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
    per_metre = min(1.3 * canvas.camera.scale(max(near, 5)), _TEXELS / (far - near))
    rows, columns = max(int(height * per_metre), 3), max(int((far - near) * per_metre), 3)
    stain = 0.06 * texture.piece(rng, rows, columns, cell=per_metre)
    if style.brick or rng.random() < 0.5:
        blocks = np.floor(np.arange(rows) / per_metre / 0.3)[:, None]
        stones = np.floor(np.arange(columns) / per_metre / 0.5 + 0.5 * (blocks % 2))
        stain = stain + 0.08 * np.sin(stones * 57.3 + blocks * 13.7)
    image = np.clip(texture.pick(rng, _STONE) * (1 + stain[..., None]), 0, 255)
    image[: max(int(0.1 * per_metre), 1)] *= 1.12
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
    colour = texture.pick(rng, _METAL)
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
        patch.line(ends, colour, width=0.05 * camera.scale((near + far) / 2), lit=lit)
    for z in np.arange(near, far, gap):
        width = (0.03 if gap < 1 else 0.08) * camera.scale(z)
        bar = camera.project([at(z, 0), at(z, height)])
        patch.line(bar, colour, width=width, lit=lit * rng.uniform(0.85, 1.15))
    canvas.lay(patch, depth=near, label='fence')
