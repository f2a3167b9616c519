"""Puts vehicles, people and street furniture on the plan."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from openseg_plugin.synth.canvas import Canvas
from openseg_plugin.synth.furniture import draw_bin, draw_pole, draw_sign, draw_traffic_light
from openseg_plugin.synth.layout import Layout, Side
from openseg_plugin.synth.nature import draw_tree
from openseg_plugin.synth.people import draw_bicycle, draw_person, draw_rider
from openseg_plugin.synth.vehicles import Pose, draw_box_vehicle, draw_car, shadow


@dataclass(frozen=True)
class Placed:
    """Something to draw at distance z (meters), and the ground polygons (X, Z) that it darkens.

    Attributes:
        shadows: in the sun only.
        below: under the thing itself, in any weather.
    """

    z: float
    draw: Callable[[], None]
    shadows: list[np.ndarray] = field(default_factory=list)
    below: list[np.ndarray] = field(default_factory=list)


def place_things(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> list[Placed]:
    """Everything that stands or moves on the street of one scene."""
    items = _traffic(canvas, rng, layout)
    for side in layout.sides:
        items += _parked(canvas, rng, layout, side)
        items += _furniture(canvas, rng, layout, side)
        items += _people(canvas, rng, layout, side)
    if layout.zebra is not None and rng.random() < 0.6:
        middle = float(np.mean(layout.zebra))
        for _ in range(rng.integers(1, 4)):
            x = rng.uniform(-layout.sides[0].curb, layout.sides[1].curb)
            items.append(_person(canvas, rng, x, middle + rng.uniform(-1, 1)))
    if layout.crossing is not None:
        items += _lights(canvas, rng, layout, *layout.crossing)
        if rng.random() < 0.6:
            z = float(np.mean(layout.crossing)) + rng.uniform(-1.5, 1.5)
            turn = rng.choice([-1, 1]) * np.pi / 2 + rng.uniform(-0.1, 0.1)
            x = rng.uniform(-14, 14)
            items.append(_vehicle(canvas, rng, Pose(x, z, turn)))
    return items


def _vehicle(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> Placed:
    """A car, bus or truck in a pose."""
    kind = rng.choice(['car', 'bus', 'truck'], p=[0.74, 0.12, 0.14])
    if kind == 'car':
        draw = partial(draw_car, canvas, rng, pose)
        size = (4.5, 1.8)
    else:
        draw = partial(draw_box_vehicle, canvas, rng, pose, label=str(kind))
        size = (9.5 if kind == 'bus' else 7.5, 2.5)
    dark = shadow(pose, length=size[0], width=size[1] + 0.3)
    side = dark + [-canvas.light.side * 0.9, 0.4 * canvas.light.forward]
    return Placed(pose.z, draw, [side], [dark])


def _traffic(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> list[Placed]:
    """Moving vehicles: some ahead in our lane, some that come towards us."""
    items = []
    z = rng.uniform(9, 30)
    for _ in range(rng.choice([0, 1, 2], p=[0.25, 0.5, 0.25])):
        items.append(_vehicle(canvas, rng, Pose(rng.uniform(-0.3, 0.3), z, rng.normal(0, 0.02))))
        z += rng.uniform(12, 35)
    lane = (layout.center - layout.sides[0].curb) / 2
    z = rng.uniform(8, 30)
    for _ in range(rng.integers(0, 4)):
        pose = Pose(lane + rng.uniform(-0.4, 0.6), z, np.pi + rng.normal(0, 0.02))
        items.append(_vehicle(canvas, rng, pose))
        z += rng.uniform(10, 35)
    for _ in range(rng.choice([0, 1, 2], p=[0.45, 0.4, 0.15])):
        ours = rng.random() < 0.65
        side = layout.sides[1] if ours else layout.sides[0]
        x = side.sign * (side.curb - rng.uniform(0.5, 1.2))
        sideways = rng.random() < 0.35
        if sideways:
            x = rng.uniform(-side.curb, side.curb)
        z = rng.uniform(7, 24)
        items += _cyclist(canvas, rng, x, z, way=1 if ours else -1, sideways=sideways)
    return items


def _cyclist(canvas, rng, x: float, z: float, *, way: int, sideways: bool) -> list[Placed]:
    def draw() -> None:
        draw_bicycle(canvas, rng, x, z, way=way, sideways=sideways)
        draw_rider(canvas, rng, x, z, way=way, sideways=sideways)

    return [Placed(z, draw, [_cast(canvas, x, z, 1.7, 0.25)])]


def _parked(canvas: Canvas, rng: np.random.Generator, layout: Layout, side: Side) -> list[Placed]:
    """A row of parked cars where there is room for one beside the lane."""
    room = side.curb - abs(layout.center if side.sign < 0 else 0.0)
    if room < 3.2 or rng.random() < 0.15:
        return []
    items, z = [], rng.uniform(4, 12)
    x = side.sign * (side.curb - 1.05)
    away = 0.0 if side.sign > 0 or rng.random() < 0.2 else np.pi
    while z < 95:
        blocked = layout.in_crossing(z, margin=7)
        if layout.zebra is not None and layout.zebra[0] - 3 < z < layout.zebra[1] + 3:
            blocked = True
        if rng.random() < 0.72 and not blocked:
            pose = Pose(x + rng.normal(0, 0.08), z, away + rng.normal(0, 0.025))
            if z > 55 and rng.random() < 0.5:
                draw = partial(draw_car, canvas, rng, pose, label='cargroup')
                items.append(Placed(z, draw))
            else:
                draw = partial(draw_car, canvas, rng, pose)
                dark = shadow(pose, length=4.5, width=2.0)
                items.append(Placed(z, draw, [dark], [dark]))
        z += rng.uniform(5.2, 6.8)
    return items


def _furniture(
    canvas: Canvas, rng: np.random.Generator, layout: Layout, side: Side
) -> list[Placed]:
    """Lamps, poles with signs, trees along the curb, bins."""
    items = []
    x = side.sign * (side.curb + 0.5)
    for z in np.arange(rng.uniform(6, 18), 120, rng.uniform(16, 30)):
        if layout.in_crossing(z, margin=1):
            continue
        height = rng.uniform(5, 8.5)
        arm = -side.sign * rng.uniform(0.8, 2.2) if rng.random() < 0.75 else 0.0
        pole = partial(draw_pole, canvas, rng, x, z, height=height, thick=0.16, arm=arm)
        items.append(Placed(z, pole, [_cast(canvas, x, z, height, 0.12)]))
    for _ in range(rng.integers(1, 5)):
        z = rng.uniform(6, 45)
        if not layout.in_crossing(z, margin=0.5):
            items += _signpost(canvas, rng, side.sign * (side.curb + rng.uniform(0.3, 0.7)), z)
    if rng.random() < (0.6 if side.verge > side.curb or layout.theme == 'boulevard' else 0.25):
        x = side.sign * ((side.curb + side.verge) / 2 + (0 if side.verge > side.curb else 0.7))
        tall = rng.uniform(4.5, 9)
        for z in np.arange(rng.uniform(6, 14), 110, rng.uniform(7, 13)):
            if not layout.in_crossing(z, margin=2):
                height = tall * rng.uniform(0.85, 1.15)
                tree = partial(draw_tree, canvas, rng, x, z, height=height)
                shade = _blot(canvas, rng, x, z, height * 0.28)
                items.append(Placed(z, tree, [_cast(canvas, x, z, height / 2, 0.25), shade]))
    for _ in range(rng.integers(0, 3)):
        z = rng.uniform(6, 35)
        at = side.sign * rng.uniform(side.curb + 0.4, side.walk)
        if not layout.in_crossing(z, margin=0.5):
            items.append(Placed(z, partial(draw_bin, canvas, rng, at, z)))
    for _ in range(rng.choice([0, 1, 3], p=[0.6, 0.25, 0.15])):
        z = rng.uniform(6, 25)
        at = side.sign * rng.uniform(side.verge + 0.4, side.walk)
        way, sideways = int(rng.choice([-1, 1])), bool(rng.random() < 0.6)
        draw = partial(draw_bicycle, canvas, rng, at, z, way=way, sideways=sideways)
        items.append(Placed(z, draw, [_cast(canvas, at, z, 0.9, 0.3)]))
    return items


def _signpost(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> list[Placed]:
    height = rng.uniform(2.1, 3.0)

    def draw() -> None:
        draw_pole(canvas, rng, x, z, height=height, thick=0.08)
        draw_sign(canvas, rng, x, height - 0.2, z)
        if rng.random() < 0.25:
            draw_sign(canvas, rng, x, height - 1.0, z)

    return [Placed(z, draw, [_cast(canvas, x, z, height, 0.06)])]


def _lights(
    canvas: Canvas, rng: np.random.Generator, layout: Layout, near: float, far: float
) -> list[Placed]:
    """Traffic lights at the near and the far corners of the crossing, at these Z."""
    if rng.random() < 0.2:
        return []
    items = []
    for side in layout.sides:
        for z, back in ((near - 1.5, side.sign < 0), (far + 1, False)):
            x = side.sign * (side.curb + 0.6)
            over = rng.random() < 0.3
            height = 5.6 if over else rng.uniform(3.0, 3.5)
            arm = -side.sign * rng.uniform(2, 3.5) if over else 0.0

            def draw(x=x, z=z, back=back, height=height, arm=arm) -> None:
                draw_pole(canvas, rng, x, z, height=height, thick=0.14, arm=arm)
                draw_traffic_light(canvas, rng, x, 2.6, z, back=back)
                if arm:
                    draw_traffic_light(canvas, rng, x + arm, height - 0.4, z, back=back)

            items.append(Placed(z, draw, [_cast(canvas, x, z, height, 0.1)]))
    return items


def _people(canvas: Canvas, rng: np.random.Generator, layout: Layout, side: Side) -> list[Placed]:
    """Walkers on a sidewalk, alone or in company."""
    items = []
    busy = 4 if layout.theme == 'city' else 2
    for _ in range(rng.poisson(busy)):
        z = 5 + 40 * rng.random() ** 1.4
        x = side.sign * rng.uniform(side.verge + 0.4, side.walk - 0.2)
        for k in range(rng.choice([1, 2, 3], p=[0.7, 0.22, 0.08])):
            items.append(_person(canvas, rng, x + 0.6 * k, z + rng.uniform(-0.3, 0.3)))
    return items


def _person(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> Placed:
    return Placed(z, partial(draw_person, canvas, rng, x, z), [_cast(canvas, x, z, 1.7, 0.22)])


def _cast(canvas: Canvas, x: float, z: float, height: float, width: float) -> np.ndarray:
    """Shadow (4, 2) of X, Z of something upright."""
    light = canvas.light
    tip = np.array([x - light.side * 0.55 * height, z + light.forward * height])
    foot, half = np.array([x, z]), width / 2
    across = np.array([0.0, half]) if abs(light.forward) < 0.5 else np.array([half, 0.0])
    return np.array([foot - across, tip - across, tip + across, foot + across])


def _blot(canvas: Canvas, rng, x: float, z: float, radius: float) -> np.ndarray:
    """Shadow of a crown: ragged, away from the sun."""
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    size = radius * rng.uniform(0.7, 1.25, 18)
    middle = np.array([x - canvas.light.side * radius * 1.6, z + canvas.light.forward * radius])
    return middle + np.stack([np.cos(angle) * size, np.sin(angle) * size], 1)
