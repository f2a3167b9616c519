"""People on foot: limbs, clothes and a walking pose, flat and upright at their distance.

Bicycles, parked or ridden. One sees through the wheels; the outline covers them.
"""

import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Canvas, Patch
from openseg_plugin.synth.furniture import circle, rectangle, upright

_TOPS = [
    *((44, 46, 54), (92, 96, 104), (150, 44, 46), (52, 74, 120), (196, 192, 184), (70, 92, 70)),
    *((140, 116, 84), (202, 170, 70), (110, 70, 100), (28, 28, 32)),
]
_TROUSERS = [(40, 44, 58), (30, 30, 34), (84, 82, 80), (62, 74, 104), (124, 112, 92)]
_SKIN = [(214, 172, 144), (188, 140, 110), (140, 98, 74), (96, 66, 52), (226, 186, 160)]
_HAIR = [(42, 34, 30), (88, 64, 44), (150, 120, 78), (120, 116, 112), (24, 22, 22)]


def limb(start, angle: float, length: float, thick: tuple[float, float]) -> tuple:
    """Tapered limb from ``start`` (x, y); angle 0 hangs down, positive swings to +x.

    Returns:
        Corners (4, 2) and the end point (2,).
    """
    start = np.asarray(start, float)
    along = np.array([np.sin(angle), -np.cos(angle)])
    across = np.array([along[1], -along[0]])
    stop = start + along * length
    corners = [start - across * thick[0] / 2, start + across * thick[0] / 2]
    corners += [stop + across * thick[1] / 2, stop - across * thick[1] / 2]
    return np.array(corners), stop


class Figure:
    """Paints a body in fractions of its height: x from the middle, y from the ground, 0..1."""

    def __init__(self, canvas: Canvas, rng, x: float, z: float, height: float) -> None:
        self.canvas, self.rng, self.x, self.z, self.height = canvas, rng, x, z, height
        frame = np.array([[-0.4, -0.02], [0.4, -0.02], [0.4, 1.05], [-0.4, 1.05]])
        self.patch = Patch(canvas, self.place(frame))
        self.top = texture.pick(rng, _TOPS, spread=0.2)
        self.trousers = texture.pick(rng, _TROUSERS, spread=0.2)
        self.skin = texture.pick(rng, _SKIN)
        self.hair = texture.pick(rng, _HAIR)

    def place(self, flat) -> np.ndarray:
        """Shares of the height -> canvas points."""
        flat = np.asarray(flat, float) * self.height
        return upright(self.canvas, flat + [self.x, 0], self.z)

    def put(self, flat, color, *, lit: float = 0.95) -> None:
        """Paints a polygon given in fractions of the height."""
        self.patch.fill(self.place(flat), color, lit=lit)

    def leg(self, hip, swing: float, bend: float, *, lit: float, bare: bool = False) -> None:
        """Thigh, shin and shoe."""
        color = self.skin if bare else self.trousers
        thigh, knee = limb(hip, swing, 0.25, (0.085, 0.065))
        shin, foot = limb(knee, swing - bend, 0.245, (0.062, 0.042))
        self.put(thigh, self.trousers, lit=lit)
        self.put(shin, color, lit=lit)
        self.put(circle(knee[0], knee[1], 0.032, 8), self.trousers, lit=lit)
        toe = 0.045 * np.sign(swing if abs(swing) > 0.02 else 1)
        self.put(
            [
                foot + [-0.03, 0.015],
                foot + [0.03 + toe, 0.012],
                foot + [0.03 + toe, -0.02],
                foot + [-0.03, -0.02],
            ],
            (36, 34, 34),
            lit=lit,
        )

    def arm(self, shoulder, swing: float, bend: float, *, lit: float) -> None:
        """Upper arm, forearm and hand."""
        upper, elbow = limb(shoulder, swing, 0.17, (0.055, 0.045))
        lower, hand = limb(elbow, swing + bend, 0.15, (0.045, 0.035))
        self.put(upper, self.top, lit=lit)
        self.put(lower, self.top, lit=lit)
        self.put(circle(hand[0], hand[1], 0.022, 8), self.skin, lit=lit)

    def head(self, x: float, y: float, *, hat: bool = False) -> None:
        """Neck, face and hair around the middle of the head."""
        self.put(
            [[x - 0.022, y - 0.1], [x + 0.022, y - 0.1], [x + 0.022, y], [x - 0.022, y]],
            self.skin,
            lit=0.8,
        )
        self.put(circle(0, 0, 1, 14) * [0.047, 0.064] + [x, y], self.skin)
        cap = circle(0, 0, 1, 14)
        cap = cap[cap[:, 1] > -0.1] * [0.053, 0.07] + [x, y + 0.008]
        self.put(cap, (200, 60, 50) if hat else self.hair)

    def finish(self, label: str) -> None:
        """Folds and shade, then onto the canvas."""
        if self.patch.empty:
            return
        scale = self.canvas.camera.scale(self.z) * self.height
        self.patch.grain(self.rng, 0.09, cell=max(0.06 * scale, 2))
        side = np.linspace(-1, 1, self.patch.alpha.shape[1])[None, :] * self.canvas.light.side
        self.patch.multiply(1 + 0.15 * self.canvas.light.sun * side)
        self.canvas.lay(self.patch, depth=self.z, label=label)


def draw_person(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Somebody who walks or stands at street place x, z; one in eight is a child."""
    height = rng.uniform(1.05, 1.4) if rng.random() < 0.12 else rng.uniform(1.55, 1.92)
    figure = Figure(canvas, rng, x, z, height)
    sideways = rng.random() < 0.55
    walking = rng.random() < 0.75
    swing = rng.uniform(0.15, 0.5) if walking else rng.uniform(0.0, 0.06)
    swing *= 1 if sideways else 0.25
    way = rng.choice([-1, 1])
    width = (0.075 if sideways else 0.115) * rng.uniform(0.9, 1.25)
    hips = (0.02 if sideways else 0.05) * width / 0.1
    skirt = rng.random() < 0.18
    figure.arm((width * 0.8 * -way, 0.8), -way * swing * 0.9, way * 0.25, lit=0.75)
    figure.leg(
        (-hips * way, 0.5), -way * swing, -way * rng.uniform(-0.5, -0.05), lit=0.72, bare=skirt
    )
    figure.leg((hips * way, 0.5), way * swing, way * rng.uniform(0.0, 0.2), lit=0.95, bare=skirt)
    hem = rng.choice([0.47, 0.44, 0.36])
    torso = [[-width, 0.81], [-width * 0.5, 0.845], [width * 0.5, 0.845], [width, 0.81]]
    torso += [[width * 0.85, 0.62], [width * 0.9, hem], [-width * 0.9, hem], [-width * 0.85, 0.62]]
    figure.put(torso, figure.top)
    if skirt:
        flare = width * rng.uniform(0.95, 1.3)
        figure.put(
            [[-width * 0.8, 0.56], [width * 0.8, 0.56], [flare, 0.34], [-flare, 0.34]],
            figure.trousers,
        )
    if rng.random() < 0.3:
        bag = texture.pick(rng, _TOPS, spread=0.3)
        left = -way * (width + 0.02) if sideways else -0.07
        figure.put(
            np.array([[0, 0.62], [0.14 * -way, 0.62], [0.14 * -way, 0.8], [0, 0.8]]) + [left, 0],
            bag,
        )
    figure.head(0.012 * way, 0.925, hat=rng.random() < 0.05)
    figure.arm((width * 0.85 * way, 0.8), way * swing * 0.8, way * 0.3, lit=0.9)
    figure.finish('person')


def draw_rider(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, *, way: int, sideways: bool
) -> None:
    """Who sits on a bicycle at x, z; way 1 rides to the right (or away from us), -1 back."""
    height = rng.uniform(1.6, 1.9)
    # the saddle is at 0.95 m, so the body hangs higher than it would stand
    figure = Figure(canvas, rng, x, z, height)
    seat = 0.95 / height
    if sideways:
        hip = np.array([-0.12 * way, seat])
        shoulder = hip + np.array([0.2 * way, 0.28])
        for swing, bend, lit in ((1.15, 1.1, 0.7), (0.45, 0.75, 0.95)):
            thigh, knee = limb(hip, way * swing, 0.25, (0.085, 0.065))
            shin, _ = limb(knee, way * (swing - bend), 0.24, (0.06, 0.045))
            figure.put(thigh, figure.trousers, lit=lit)
            figure.put(shin, figure.trousers, lit=lit)
        back = np.array([[-0.055, -0.02], [0.06, -0.02]])
        torso = np.vstack(
            [hip + back * [way, 1], shoulder + [0.05 * way, -0.02], shoulder + [-0.06 * way, 0.05]]
        )
        figure.put(torso, figure.top)
        figure.arm(shoulder, way * 0.95, way * 0.35, lit=0.95)
        figure.head(shoulder[0] + 0.05 * way, shoulder[1] + 0.11, hat=rng.random() < 0.3)
    else:
        width = 0.12
        for side, lift in ((-1, 0.0), (1, 0.09)):
            thigh, knee = limb((0.05 * side, seat), side * 0.12, 0.2 - lift, (0.09, 0.07))
            shin, _ = limb(knee, -side * 0.05, 0.22, (0.065, 0.05))
            figure.put(thigh, figure.trousers, lit=0.85)
            figure.put(shin, figure.trousers, lit=0.85)
        top = seat + 0.31
        chest = [[-width, top - 0.03], [-width * 0.5, top], [width * 0.5, top], [width, top - 0.03]]
        figure.put([*chest, [width * 0.8, seat - 0.03], [-width * 0.8, seat - 0.03]], figure.top)
        for side in (-1, 1):
            figure.arm((width * 0.95 * side, top - 0.04), side * 0.4, -side * 0.25, lit=0.9)
        figure.head(0.0, top + 0.08, hat=rng.random() < 0.3)
    figure.finish('rider')


_FRAME = [
    (40, 42, 46),
    (150, 40, 40),
    (44, 70, 120),
    (170, 172, 174),
    (60, 100, 80),
    (180, 150, 60),
]
_WHEEL = 0.34  # meters
_AXLE = 0.52


def draw_bicycle(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, *, way: int, sideways: bool
) -> None:
    """A bicycle at street place x, z; way as in :func:`~openseg_plugin.synth.people.draw_rider`."""
    color = texture.pick(rng, _FRAME)
    frame = rectangle(x, 0.55, 2.2, 1.3)
    patch = Patch(canvas, upright(canvas, frame, z))
    if patch.empty:
        return
    scale = canvas.camera.scale(z)
    draw = _draw_sideways if sideways else _draw_lengthways
    draw(canvas, patch, x, z, way, color, scale)
    canvas.lay(patch, depth=z, label='bicycle')


def _draw_sideways(canvas, patch, x, z, way, color, scale) -> None:
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
    rear, front = (-_AXLE, _WHEEL), (_AXLE, _WHEEL)
    tubes = [(crank, seat), (crank, head), (seat, head), (crank, rear)]
    tubes += [(seat, rear), (head, front), (head, (0.3, 1.0))]
    for start, stop in tubes:
        patch.line(at([start, stop]), color, width=0.045 * scale)
    patch.line(at([(0.22, 1.02), (0.38, 1.0)]), (36, 36, 38), width=0.05 * scale)
    patch.fill(at(rectangle(-0.27, 0.93, 0.26, 0.07)), (34, 32, 32))
    patch.line(at([(-0.25, 0.85), (-0.26, 0.93)]), (120, 120, 122), width=0.035 * scale)


def _draw_lengthways(canvas, patch, x, z, way, color, scale) -> None:
    """Seen along its length: a narrow wheel, the saddle, and the handlebar."""

    def at(points) -> np.ndarray:
        return upright(canvas, np.asarray(points, float) + [x, 0], z)

    patch.fill(at(circle(0, 0, 1, 16) * [0.05, _WHEEL] + [0, _WHEEL]), (28, 28, 30))
    patch.fill(at(rectangle(0, 0.66, 0.09, 0.4)), color)
    patch.line(at([(-0.3, 1.02), (0.3, 1.02)]), (40, 40, 42), width=0.045 * scale)
    patch.fill(at(rectangle(0, 0.92, 0.16, 0.09)), (34, 32, 32))
    patch.line(at([(-0.14, 0.26), (0.14, 0.34)]), (60, 60, 62), width=0.05 * scale)
    lamp = (190, 40, 40) if way > 0 else (230, 228, 210)
    patch.fill(at(circle(0, 0.75 if way > 0 else 0.95, 0.04, 8)), lamp)
