"""Composes one street scene: what stands where, painted from far to near.

From the canvas to a camera's image: exposure, lens, sensor noise.

From outlines on the canvas to polygons of the annotation file: whole pixels, inside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from openseg_plugin.synth.buildings import House, draw_fence, draw_house, draw_wall
from openseg_plugin.synth.canvas import Canvas
from openseg_plugin.synth.ground import draw_ground
from openseg_plugin.synth.layout import FAR, Layout, Side, draw_layout
from openseg_plugin.synth.nature import (
    Weather,
    draw_backdrop,
    draw_bush,
    draw_camera,
    draw_hedge,
    draw_sky,
    draw_tree,
)
from openseg_plugin.synth.placing import Placed, place_things


def draw_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """The own car's bonnet at the lower edge: "ego vehicle", which no metric counts."""
    height, width = canvas.rgb.shape[:2]
    rise = rng.uniform(0.03, 0.075) * height
    u = np.linspace(0, width, 40)
    curve = height - rise * (0.55 + 0.45 * np.sin(np.pi * u / width) ** 0.7)
    outline = np.vstack([np.stack([u, curve], 1), [[width, height], [0, height]]])
    first = int(curve.min()) - 1
    rows = np.arange(first, height)[:, None]
    gloss = np.clip((rows - curve.min()) / (rise + 1), 0, 1)
    color = rng.uniform(18, 60) * (1.5 - 0.8 * gloss) + 30 * canvas.light.sun * (1 - gloss) ** 4
    mask = np.zeros((height - first, width), np.uint8)
    cv2.fillPoly(mask, [(outline - [0, first]).round().astype(np.int32)], 255, cv2.LINE_AA)
    fraction = mask[..., None] / 255
    below = canvas.rgb[first:]
    below[:] = (below * (1 - fraction) + color[..., None] * fraction).astype(np.uint8)
    canvas.annotate('ego vehicle', outline)


def develop(canvas: Canvas, rng: np.random.Generator, *, size: tuple[int, int]) -> np.ndarray:
    """The final image (H, W, 3) uint8 RGB of ``size`` (H, W)."""
    height, width = size
    image = cv2.resize(canvas.rgb, (width, height), interpolation=cv2.INTER_AREA)
    image = image.astype(np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    vignette = (1 - np.float32(rng.uniform(0, 0.22)) * (x**2 + y**2) / 2)[..., None]
    np.multiply(image, vignette, out=image)
    balance = rng.uniform(0.82, 1.18) * (1 + 0.03 * rng.standard_normal(3))
    image *= balance.astype(np.float32)
    gamma = np.float32(rng.uniform(0.85, 1.15))
    image = 255 * np.clip(image / 255, 0, 1) ** gamma
    blur = rng.uniform(0, 0.75)
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    noise = rng.standard_normal((height, width, 1), np.float32)
    noise = noise + 0.5 * rng.standard_normal((height, width, 3), np.float32)
    image += np.float32(rng.uniform(0.8, 3.6)) * noise * (0.4 + np.sqrt(image / 255))
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


_SMALLEST = 3.0  # square pixels; smaller objects are not annotated


def to_polygon(points: np.ndarray, *, factor: int, size: tuple[int, int]) -> list[list[int]] | None:
    """Canvas outline (n, 2) -> [[x, y], ...] in an image of ``size`` (H, W); None if too small.

    Args:
        points: canvas pixels.
        factor: supersampling; canvas pixel factor * i + (factor - 1) / 2 is the middle of pixel i.
        size: of the final image.
    """
    height, width = size
    inside = clip((np.asarray(points) - (factor - 1) / 2) / factor, width - 1, height - 1)
    if len(inside) < 3:
        return None
    corners = np.round(inside).astype(int)
    corners = corners[np.any(corners != np.roll(corners, 1, axis=0), axis=1)]
    if len(corners) < 3 or area(corners) < _SMALLEST:
        return None
    return corners.tolist()


def area(points: np.ndarray) -> float:
    """Area of a polygon (n, 2) by the shoelace formula."""
    x, y = np.asarray(points, float).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def clip(points: np.ndarray, right: float, bottom: float) -> np.ndarray:
    """Part of a polygon (n, 2) inside [0, right] x [0, bottom]: Sutherland and Hodgman (1974)."""
    if points.min() > -1 and np.all(points.max(0) < (right + 1, bottom + 1)):
        return np.clip(points, 0, (right, bottom))  # out by a rounding at most
    for axis, bound, sign in ((0, 0, 1), (0, right, -1), (1, 0, 1), (1, bottom, -1)):
        distance = sign * (points[:, axis] - bound) if len(points) else np.zeros(0)
        kept = []
        for i in range(len(points)):
            here, there = distance[i - 1], distance[i]
            if (here >= 0) != (there >= 0):
                kept.append(points[i - 1] + (points[i] - points[i - 1]) * here / (here - there))
            if there >= 0:
                kept.append(points[i])
        points = np.array(kept).reshape(-1, 2)
    return points


SUPERSAMPLING = 2  # canvas pixels per pixel of the image, for smooth edges


@dataclass(frozen=True)
class Scene:
    """An image (H, W, 3) uint8 RGB and its objects (label, [[x, y], ...]) in painting order."""

    image: np.ndarray
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
    image = develop(canvas, rng, size=size)
    polygons = [
        (label, to_polygon(outline, factor=SUPERSAMPLING, size=size))
        for label, outline in canvas.objects
    ]
    return Scene(image, [(label, polygon) for label, polygon in polygons if polygon is not None])


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


def _house_shadow(house: House) -> np.ndarray:
    """Ground polygon of X, Z that a house on the sunny side keeps dark."""
    reach = house.front - 0.45 * (house.height + house.roof)
    edge = house.side * house.front
    return np.array(
        [
            [edge, house.near],
            [edge, house.far],
            [house.side * reach, house.far],
            [house.side * reach, house.near],
        ]
    )
