"""Bicycles, parked or ridden. One sees through the wheels; the outline covers them."""

import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Canvas, Patch
from openseg_plugin.synth.furniture import circle, rectangle, upright

_FRAME = [
    (40, 42, 46),
    (150, 40, 40),
    (44, 70, 120),
    (170, 172, 174),
    (60, 100, 80),
    (180, 150, 60),
]
_WHEEL = 0.34  # metres
_AXLE = 0.52


def draw_bicycle(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, *, way: int, sideways: bool
) -> None:
    """A bicycle at street place x, z; way as in :func:`~openseg_plugin.synth.people.draw_rider`."""
    colour = texture.pick(rng, _FRAME)
    frame = rectangle(x, 0.55, 2.2, 1.3)
    patch = Patch(canvas, upright(canvas, frame, z))
    if patch.empty:
        return
    scale = canvas.camera.scale(z)
    draw = _draw_sideways if sideways else _draw_lengthways
    draw(canvas, patch, x, z, way, colour, scale)
    canvas.lay(patch, depth=z, label='bicycle')


def _draw_sideways(canvas, patch, x, z, way, colour, scale) -> None:
    def at(points) -> np.ndarray:
        flat = np.asarray(points, float) * [way, 1] + [x, 0]
        return upright(canvas, flat, z)

    for axle in (-_AXLE, _AXLE):
        ring = at(circle(axle, _WHEEL, _WHEEL, 28))
        patch.hold(ring)
        patch.line(np.vstack([ring, ring[:1]]), (28, 28, 30), width=0.05 * scale)
        for angle in np.linspace(0, np.pi, 4, endpoint=False):
            spoke = np.array([np.cos(angle), np.sin(angle)]) * (_WHEEL - 0.02)
            patch.line(
                at([[axle, _WHEEL] + spoke, [axle, _WHEEL] - spoke]),
                (120, 120, 122),
                width=0.008 * scale,
            )
    crank, seat, head = (-0.08, 0.3), (-0.25, 0.85), (0.33, 0.82)
    patch.hold(at([crank, (-_AXLE, _WHEEL), seat, head, (_AXLE, _WHEEL)]))
    tubes = ((crank, seat), (crank, head), (seat, head), (crank, (-_AXLE, _WHEEL)))
    tubes += ((seat, (-_AXLE, _WHEEL)), (head, (_AXLE, _WHEEL)), (head, (0.3, 1.0)))
    for start, stop in tubes:
        patch.line(at([start, stop]), colour, width=0.045 * scale)
    patch.line(at([(0.22, 1.02), (0.38, 1.0)]), (36, 36, 38), width=0.05 * scale)
    patch.fill(at(rectangle(-0.27, 0.93, 0.26, 0.07)), (34, 32, 32))
    patch.line(at([(-0.25, 0.85), (-0.26, 0.93)]), (120, 120, 122), width=0.035 * scale)


def _draw_lengthways(canvas, patch, x, z, way, colour, scale) -> None:
    """Seen along its length: a narrow wheel, the saddle, and the handlebar."""

    def at(points) -> np.ndarray:
        return upright(canvas, np.asarray(points, float) + [x, 0], z)

    patch.fill(at(circle(0, 0, 1, 16) * [0.05, _WHEEL] + [0, _WHEEL]), (28, 28, 30))
    patch.fill(at(rectangle(0, 0.66, 0.09, 0.4)), colour)
    patch.line(at([(-0.3, 1.02), (0.3, 1.02)]), (40, 40, 42), width=0.045 * scale)
    patch.fill(at(rectangle(0, 0.92, 0.16, 0.09)), (34, 32, 32))
    patch.line(at([(-0.14, 0.26), (0.14, 0.34)]), (60, 60, 62), width=0.05 * scale)
    lamp = (190, 40, 40) if way > 0 else (230, 228, 210)
    patch.fill(at(circle(0, 0.75 if way > 0 else 0.95, 0.04, 8)), lamp)
