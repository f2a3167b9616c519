"""Composes one street scene: what stands where, painted from far to near."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from openseg_plugin.synth.buildings import House, draw_fence, draw_house, draw_wall
from openseg_plugin.synth.canvas import Canvas
from openseg_plugin.synth.finish import develop, draw_bonnet
from openseg_plugin.synth.ground import draw_ground
from openseg_plugin.synth.layout import FAR, Layout, Side, draw_layout
from openseg_plugin.synth.outline import to_polygon
from openseg_plugin.synth.placing import Placed, place_things
from openseg_plugin.synth.plants import draw_bush, draw_hedge, draw_tree
from openseg_plugin.synth.sky import Weather, draw_backdrop, draw_camera, draw_sky

SUPERSAMPLING = 2  # canvas pixels per pixel of the picture, for smooth edges


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3) uint8 RGB and its objects (label, [[x, y], ...]) in painting order."""

    picture: np.ndarray
    objects: list[tuple[str, list[list[int]]]]


def draw_scene(seed: tuple[int, ...], *, size: tuple[int, int] = (256, 512)) -> Scene:
    """Draws a scene; equal seeds give equal scenes. ``size`` is (H, W) in pixels."""
    rng = np.random.default_rng(seed)
    camera = draw_camera(rng, width=size[1] * SUPERSAMPLING, height=size[0] * SUPERSAMPLING)
    weather = Weather(rng)
    canvas = Canvas(camera, weather.light)
    layout = draw_layout(rng)
    houses = [place_houses(rng, layout, side) for side in layout.sides]
    rows = [item for side in layout.sides for item in place_rows(canvas, rng, layout, side)]
    things = place_things(canvas, rng, layout)
    shadows = [polygon for item in things for polygon in item.shadows]
    below = [polygon for item in things for polygon in item.below]
    if weather.light.sun > 0.3:
        sunny = layout.sides[0] if weather.light.side < 0 else layout.sides[1]
        shadows += [_house_shadow(house) for house in houses[layout.sides.index(sunny)]]
    draw_sky(canvas, weather, rng)
    draw_ground(canvas, layout, rng, shadows=shadows, below=below)
    draw_backdrop(canvas, rng)
    for house in sorted([h for side in houses for h in side], key=lambda house: -house.far):
        draw_house(canvas, rng, house, layout.theme)
    for item in sorted(rows, key=lambda item: -item.z) + sorted(things, key=lambda item: -item.z):
        item.draw()
    if rng.random() < 0.5:
        draw_bonnet(canvas, rng)
    picture = develop(canvas, rng, size=size)
    polygons = [
        (label, to_polygon(outline, factor=SUPERSAMPLING, size=size))
        for label, outline in canvas.objects
    ]
    return Scene(picture, [(label, polygon) for label, polygon in polygons if polygon is not None])


def place_houses(rng: np.random.Generator, layout: Layout, side: Side) -> list[House]:
    """Houses of one side, near to far, with gaps; none on the crossing."""
    if not side.houses:
        return []
    houses, z = [], rng.uniform(-12, 4)
    tall = layout.theme == 'city'
    while z < FAR:
        length = rng.uniform(9, 24) if tall else rng.uniform(8, 15)
        if (
            layout.crossing is not None
            and z < layout.crossing[1] + 3
            and z + length > layout.crossing[0] - 3
        ):
            if z < layout.crossing[0] - 9:
                length = layout.crossing[0] - 3 - z
            else:
                z = layout.crossing[1] + rng.uniform(2, 4)
                continue
        height = rng.uniform(8, 20) if tall else rng.uniform(3.2, 7.5)
        roof = 0.0 if rng.random() < (0.6 if tall else 0.15) else rng.uniform(1.5, 3.8)
        if z + length > 2:
            setback = side.front + (0.0 if tall else rng.uniform(0, 1.5))
            houses.append(House(side.sign, setback, z, z + length, height, roof))
        gap = 0.0 if tall and rng.random() < 0.75 else rng.uniform(1.5, 8)
        z += length + gap
    return houses


def place_rows(
    canvas: Canvas, rng: np.random.Generator, layout: Layout, side: Side
) -> list[Placed]:
    """What runs along the street: hedges, walls, fences, and the green of a side without houses."""
    items: list[Placed] = []

    def add(z: float, draw: Callable[[], None]) -> None:
        if not layout.in_crossing(z, margin=2):
            items.append(Placed(z, draw))

    if not side.houses:
        for z in np.arange(6, FAR, rng.uniform(5, 9)):
            x = side.sign * (side.walk + rng.uniform(2, 22))
            height = rng.uniform(4, 12)
            add(z, partial(draw_tree, canvas, rng, x, z, height=height))
        for z in np.arange(60, FAR, 6):
            x = side.sign * (side.walk + rng.uniform(4, 50))
            add(z, partial(draw_bush, canvas, rng, x, z, width=9, height=rng.uniform(3, 8)))
    elif side.garden:
        for z in np.arange(rng.uniform(4, 14), FAR * 0.7, rng.uniform(8, 20)):
            x = side.sign * rng.uniform(side.walk + 0.8, side.front)
            width, height = rng.uniform(1, 3), rng.uniform(0.7, 2.2)
            add(z, partial(draw_bush, canvas, rng, x, z, width=width, height=height))
    kind = rng.choice(['none', 'hedge', 'wall', 'fence'], p=[0.15, 0.2, 0.3, 0.35])
    if kind == 'none' or not (side.garden or not side.houses):
        return items
    x, z = side.walk + 0.15, rng.uniform(1.5, 12)
    height = rng.uniform(0.8, 1.9)
    while z < FAR * 0.6:
        far = z + rng.uniform(3, 6)
        if layout.crossing is None or far < layout.crossing[0] - 2 or z > layout.crossing[1] + 2:
            if kind == 'hedge':
                draw = partial(draw_hedge, canvas, rng, side.sign * x, z, far, height=height)
            else:
                draw = partial(
                    draw_wall if kind == 'wall' else draw_fence, canvas, rng, side, x, z, far
                )
            items.append(Placed(z, draw))
        z = far + (0.0 if rng.random() < 0.8 else rng.uniform(1.5, 5))
    return items


def _house_shadow(house: House) -> list[list[float]]:
    """Ground polygon of X, Z that a house on the sunny side keeps dark."""
    reach = house.front - 0.45 * (house.height + house.roof)
    edge = house.side * house.front
    return [
        [edge, house.near],
        [edge, house.far],
        [house.side * reach, house.far],
        [house.side * reach, house.near],
    ]
