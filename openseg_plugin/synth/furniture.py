"""Poles and what hangs on them: lamps, traffic lights, signs; and bins beside them."""

import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Canvas, Patch

_POLE = [(122, 124, 126), (92, 96, 98), (64, 68, 70), (146, 146, 142), (104, 92, 76)]
_RED, _BLUE, _WHITE, _YELLOW = (186, 44, 48), (42, 84, 158), (224, 224, 220), (226, 186, 60)
_DARK, _GREEN = (40, 42, 46), (52, 110, 82)


def circle(x: float, y: float, radius: float, corners: int = 20) -> np.ndarray:
    """Corners (n, 2) of a regular polygon; y upwards, first corner to the right."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def rectangle(x: float, y: float, width: float, height: float) -> np.ndarray:
    """Corners (4, 2) around the middle x, y."""
    dx, dy = width / 2, height / 2
    return np.array([[x - dx, y - dy], [x + dx, y - dy], [x + dx, y + dy], [x - dx, y + dy]])


def upright(canvas: Canvas, flat: np.ndarray, z: float) -> np.ndarray:
    """Points (n, 2) of X, Y in the plane at distance z that faces the camera -> canvas points."""
    flat = np.asarray(flat, float)
    return canvas.camera.project(np.column_stack([flat, np.full(len(flat), z)]))


def draw_pole(
    canvas: Canvas,
    rng: np.random.Generator,
    x: float,
    z: float,
    *,
    height: float,
    thick: float = 0.12,
    arm: float = 0.0,
) -> None:
    """A pole; with ``arm`` (meters towards +X or -X) a street lamp hangs over the road."""
    color = texture.pick(rng, _POLE)
    outlines = [np.array([[x - thick / 2, 0], [x - thick / 3, height], [x + thick / 3, height]])]
    outlines[0] = np.vstack([outlines[0], [x + thick / 2, 0]])
    if arm:
        outlines.append(
            np.array(
                [[x, height - 0.1], [x, height], [x + arm, height + 0.3]]
                + [[x + arm, height + 0.2]]
            )
        )
        outlines.append(rectangle(x + arm, height + 0.2, 0.7, 0.18))
    for k, flat in enumerate(outlines):
        points = upright(canvas, flat, z)
        patch = Patch(canvas, points)
        patch.fill(points, color * (0.8 if k == 2 else 1.0), lit=canvas.light.facing(0, 0, 1))
        if not patch.empty:
            side = np.linspace(-1, 1, patch.alpha.shape[1]) * canvas.light.side
            patch.multiply((1 + 0.22 * side)[None, :] if k == 0 else 1.0)
        canvas.lay(patch, depth=z, label='pole')


def draw_traffic_light(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, z: float, *, back: bool
) -> None:
    """A head of three lamps around height y; ``back`` shows it from behind."""
    housing = texture.pick(rng, [(42, 44, 46), (52, 56, 52), (70, 68, 50)])
    box = upright(canvas, rectangle(x, y, 0.36, 1.0), z)
    patch = Patch(canvas, upright(canvas, rectangle(x, y, 0.6, 1.3), z))
    if not back and rng.random() < 0.4:
        patch.fill(upright(canvas, rectangle(x, y, 0.54, 1.2), z), (30, 32, 34))
    patch.fill(box, housing)
    on = int(rng.integers(3))
    lamps = ((220, 50, 40), (240, 180, 50), (60, 210, 140))
    for k, lamp in enumerate(lamps if not back else ()):
        bright = 1.25 if k == on else 0.22
        middle = y + 0.31 * (1 - k)
        patch.fill(upright(canvas, circle(x, middle, 0.12), z), np.array(lamp) * bright)
    canvas.lay(patch, depth=z, label='traffic light')


def draw_sign(canvas: Canvas, rng: np.random.Generator, x: float, y: float, z: float) -> None:
    """A traffic sign around height y, from the front or (sometimes) its gray back."""
    kind = rng.choice(['ban', 'warn', 'order', 'yield', 'board', 'park', 'back'])
    patch = Patch(canvas, upright(canvas, rectangle(x, y, 2.4, 2.0), z))

    def put(flat: np.ndarray, color) -> None:
        patch.fill(upright(canvas, flat, z), color, lit=0.95)

    if kind == 'ban':
        put(circle(x, y, 0.33), _RED)
        put(circle(x, y, 0.24), _WHITE)
        put(rectangle(x, y, 0.22, 0.16), _DARK if rng.random() < 0.7 else _RED)
    elif kind in ('warn', 'yield'):
        up = 1 if kind == 'warn' else -1
        for size, color in ((0.44, _RED), (0.29, _WHITE)):
            put(
                np.array(
                    [[x - size, y - up * size * 0.8], [x + size, y - up * size * 0.8]]
                    + [[x, y + up * size * 0.9]]
                ),
                color,
            )
        if kind == 'warn':
            put(rectangle(x, y - 0.08, 0.08, 0.22), _DARK)
    elif kind == 'order':
        put(circle(x, y, 0.32), _BLUE)
        put(rectangle(x, y, 0.08, 0.34), _WHITE)
        put(rectangle(x - 0.08, y + 0.12, 0.2, 0.08), _WHITE)
    elif kind == 'park':
        put(rectangle(x, y, 0.62, 0.62), _BLUE)
        put(rectangle(x - 0.08, y, 0.08, 0.42), _WHITE)
        put(rectangle(x + 0.04, y + 0.1, 0.2, 0.2), _WHITE)
    elif kind == 'board':
        board = np.array((_YELLOW, _BLUE, _WHITE, _GREEN)[rng.integers(4)], float)
        width, height = rng.uniform(0.9, 2.0), rng.uniform(0.4, 1.1)
        put(rectangle(x, y, width, height), board)
        ink = 230 - board * 0.8
        for k in range(int(height / 0.25)):
            length = width * rng.uniform(0.4, 0.8)
            put(rectangle(x - width * 0.06, y + height / 2 - 0.16 - 0.25 * k, length, 0.1), ink)
    else:
        shape = circle(x, y, 0.34) if rng.random() < 0.6 else rectangle(x, y, 0.6, 0.6)
        put(shape, texture.pick(rng, [(130, 132, 134), (104, 106, 108)]))
    canvas.lay(patch, depth=z, label='traffic sign')


def draw_bin(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A waste bin or a gray cabinet: label "static", which no metric counts."""
    color = texture.pick(rng, [(72, 82, 74), (96, 96, 98), (56, 58, 62), (150, 120, 60)])
    width, height = rng.uniform(0.4, 0.9), rng.uniform(0.8, 1.4)
    body = upright(canvas, rectangle(x, height / 2, width, height), z)
    patch = Patch(canvas, body)
    patch.fill(body, color, lit=canvas.light.facing(0, 0, 1))
    lid = upright(canvas, rectangle(x, height, width * 1.06, 0.1), z)
    patch.fill(lid, color * 1.2, lit=canvas.light.facing(0, 1, 0))
    canvas.lay(patch, depth=z, label='static')
