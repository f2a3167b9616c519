"""Cars, vans, lorries and buses.

Bodies of vehicles: a side profile drawn out to a width, turned, and seen in perspective.

Own axes of a body: right, up, ahead (meters), the origin on the ground under its middle.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Camera, Canvas, Light, Patch
from openseg_plugin.synth.furniture import circle


@dataclass(frozen=True)
class Pose:
    """Where a body stands: street x, z in meters; turn in radians (0: drives away from us)."""

    x: float
    z: float
    turn: float

    def place(self, points) -> np.ndarray:
        """Own points (n, 3) of right, up, ahead -> street points (n, 3)."""
        right, up, ahead = np.asarray(points, float).reshape(-1, 3).T
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.stack(
            [self.x + right * cos + ahead * sin, up, self.z - right * sin + ahead * cos], axis=1
        )

    def turned(self, right: float, up: float, ahead: float) -> np.ndarray:
        """Own direction -> street direction (3,)."""
        return self.place([[right, up, ahead]])[0] - [self.x, 0, self.z]


@dataclass(frozen=True)
class Face:
    """A flat piece of a body.

    Attributes:
        points: (n, 3) street points.
        lit: brightness.
        name: 'side', or the number of the profile's edge.
        distance: meters from the camera, for painting from far to near.
    """

    points: np.ndarray
    lit: float
    name: str
    distance: float


@dataclass(frozen=True)
class Profile:
    """Side view of a body: corners (n, 2) of ahead, up; from the rear foot over the roof forward.

    Attributes:
        corners: the outline above the underbody.
        width: meters.
        belt: height above which the body gets narrower.
        narrow: fraction of the width that is lost at the top.
    """

    corners: np.ndarray
    width: float
    belt: float
    narrow: float

    @property
    def length(self) -> float:
        """Meters from end to end."""
        return float(np.ptp(self.corners[:, 0]))

    @property
    def height(self) -> float:
        """Meters above the ground."""
        return float(self.corners[:, 1].max())

    def half(self, up: float) -> float:
        """Half the width at this height."""
        above = max(0.0, up - self.belt) / max(self.height - self.belt, 1e-6)
        return self.width / 2 * (1 - self.narrow * above)

    def on_side(self, side: int, flat) -> np.ndarray:
        """Points (n, 2) of ahead, up on the left (-1) or right (1) side -> own points (n, 3)."""
        middle = self.length / 2
        return np.array([[side * self.half(up), up, ahead - middle] for ahead, up in flat])

    def faces(self, pose: Pose, camera: Camera, light: Light) -> list[Face]:
        """Faces that the camera sees, from far to near."""
        found: list[tuple[np.ndarray, tuple[float, float, float], str]] = []
        for side in (-1, 1):
            found.append((self.on_side(side, self.corners), (side, 0.0, 0.0), 'side'))
        edges = zip(self.corners[:-1], self.corners[1:])
        for number, (start, stop) in enumerate(edges):
            left = self.on_side(-1, [start, stop])
            right = self.on_side(1, [stop, start])
            normal = np.array([-(stop - start)[1], (stop - start)[0]])
            ahead, up = normal / max(np.linalg.norm(normal), 1e-9)
            found.append((np.concatenate([left, right]), (0.0, up, ahead), str(number)))
        faces = []
        for own, outwards, name in found:
            points = pose.place(own)
            direction = pose.turned(*outwards)
            towards = np.array([0.0, camera.eye, 0.0]) - points.mean(0)
            # the bend of the road moves the body sideways
            towards[0] -= camera.bend * points[:, 2].mean() ** 2
            if towards @ direction > 0:
                lit = light.facing(direction[0], direction[1], -direction[2])
                faces.append(Face(points, lit, name, float(np.linalg.norm(towards))))
        return sorted(faces, key=lambda face: -face.distance)


_PAINT = [
    *((196, 198, 200), (150, 152, 156), (92, 94, 98), (40, 42, 46), (226, 226, 224)),
    *((38, 52, 86), (128, 36, 38), (58, 84, 66), (160, 140, 108), (70, 110, 150)),
]
_BUS = [(206, 206, 200), (176, 48, 46), (60, 90, 150), (206, 168, 60), (70, 130, 96)]
_GLASS = np.array([52, 60, 70])
_TYRE, _RIM = (30, 30, 32), (130, 132, 136)

# Side profiles: (ahead, up) in meters, from the rear foot over the roof to the front foot.
# "glass" are the edges that are windscreens, "wheels" the axles, "cabin" the side windows.
_SHAPES: dict[str, dict[str, Any]] = {
    'hatch': dict(
        corners=[(0, 0.32), (0, 0.75), (0.18, 0.98), (0.55, 1.42), (1.0, 1.48), (2.0, 1.47)]
        + [(2.95, 1.0), (3.95, 0.82), (4.1, 0.6), (4.1, 0.3)],
        glass=(2, 5),
        wheels=(0.72, 3.3),
        cabin=(0.45, 0.72, 1.9, 2.65),
        width=1.75,
        belt=0.95,
    ),
    'saloon': dict(
        corners=[(0, 0.32), (0, 0.85), (0.12, 1.0), (0.75, 1.03), (1.4, 1.4), (2.5, 1.43)]
        + [(3.4, 1.0), (4.5, 0.82), (4.7, 0.58), (4.7, 0.3)],
        glass=(3, 5),
        wheels=(0.95, 3.75),
        cabin=(1.05, 1.45, 2.45, 3.1),
        width=1.82,
        belt=1.0,
    ),
    'estate': dict(
        corners=[(0, 0.35), (0, 0.9), (0.1, 1.05), (0.4, 1.55), (0.9, 1.62), (2.5, 1.62)]
        + [(3.4, 1.12), (4.4, 0.95), (4.6, 0.65), (4.6, 0.34)],
        glass=(2, 5),
        wheels=(0.9, 3.7),
        cabin=(0.35, 0.6, 2.4, 3.1),
        width=1.88,
        belt=1.08,
    ),
    'van': dict(
        corners=[(0, 0.35), (0, 1.1), (0.03, 1.3), (0.12, 1.95), (0.4, 2.0), (3.3, 2.0)]
        + [(4.15, 1.2), (4.8, 1.0), (4.95, 0.6), (4.95, 0.35)],
        glass=(2, 5),
        wheels=(0.9, 4.0),
        cabin=(2.3, 2.35, 3.2, 3.85),
        width=1.95,
        belt=1.2,
    ),
}


def draw_car(canvas: Canvas, rng: np.random.Generator, pose: Pose, *, label: str = 'car') -> None:
    """A car; near ones also leave a "license plate" in the polygon file."""
    kind = rng.choice(['hatch', 'saloon', 'estate', 'van'], p=[0.38, 0.27, 0.25, 0.1])
    shape = _SHAPES[str(kind)]
    profile = Profile(np.array(shape['corners']), shape['width'], shape['belt'], 0.24)
    body = texture.pick(rng, _PAINT, spread=0.1)
    patch = _patch(canvas, pose, profile)
    if patch.empty:
        return
    _draw_underbody(canvas, patch, pose, profile, shape['wheels'], radius=0.32)
    gloss = rng.uniform(0.9, 1.5)
    for face in profile.faces(pose, canvas.camera, canvas.light):
        points = canvas.camera.project(face.points)
        if face.name == 'side':
            patch.fill(points, body, lit=face.lit)
            side = 1 if pose.turned(1, 0, 0) @ _to_camera(canvas, pose) > 0 else -1
            _draw_car_side(canvas, patch, pose, profile, shape, side, body * face.lit)
        elif int(face.name) in shape['glass']:
            patch.fill(points, body * 0.8, lit=face.lit)
            inner = points.mean(0) + (points - points.mean(0)) * 0.86
            patch.fill(inner, _GLASS * gloss, lit=face.lit)
        else:
            patch.fill(points, body, lit=face.lit)
    plate = _draw_ends(canvas, patch, pose, profile, rng)
    patch.grain(rng, 0.05, cell=max(0.5 * canvas.camera.scale(pose.z), 2))
    canvas.lay(patch, depth=pose.z, label=label)
    if plate is not None and pose.z < 18:
        canvas.annotate('license plate', plate)


def draw_box_vehicle(canvas: Canvas, rng: np.random.Generator, pose: Pose, *, label: str) -> None:
    """A bus (windows all around) or a truck (closed box, cab in front)."""
    bus = label == 'bus'
    length, height = (
        (rng.uniform(9, 12), 3.05) if bus else (rng.uniform(5, 8), rng.uniform(2.7, 3.5))
    )
    roof = [(0, 0.45), (0, height - 0.12), (0.1, height), (length - 0.15, height)]
    front = [(length, height - 0.3), (length, 0.4)]
    if not bus:
        front = [(length - 0.1, height - 0.1), (length, 0.5)]
    profile = Profile(np.array(roof + front), 2.45, height - 0.4, 0.04)
    body = texture.pick(rng, _BUS if bus else [*_PAINT[:2], *_PAINT[4:]], spread=0.12)
    x, _, z = pose.place([[0, 0, length / 2 + 0.9]])[0]
    cab = Pose(x, z, pose.turn)
    cab_shape = [(0, 0.4), (0, 2.3), (0.2, 2.45), (1.2, 2.4), (1.75, 1.5), (1.85, 0.4)]
    cab_profile = Profile(np.array(cab_shape), 2.2, 1.4, 0.1)
    parts = [(pose, profile, body)]
    if not bus:
        parts.append((cab, cab_profile, texture.pick(rng, _PAINT)))
        parts.sort(key=lambda part: -np.hypot(part[0].x, part[0].z))
    patch = _patch(canvas, pose, profile, more=0.0 if bus else 2.5)
    if patch.empty:
        return
    axles = (length * 0.22, length * 0.8) if bus else (length * 0.2, length * 0.35, length + 0.7)
    _draw_underbody(canvas, patch, pose, profile, axles, radius=0.48)
    for place, solid, color in parts:
        for face in solid.faces(place, canvas.camera, canvas.light):
            patch.fill(canvas.camera.project(face.points), color, lit=face.lit)
            if bus or solid is cab_profile:
                _draw_panes(canvas, patch, place, solid, face, bus)
            elif face.name == 'side':
                _draw_stripe(canvas, patch, place, solid, face, rng)
    _draw_ends(canvas, patch, pose, profile, rng)
    patch.grain(rng, 0.04, cell=max(0.7 * canvas.camera.scale(pose.z), 2))
    canvas.lay(patch, depth=pose.z, label=label)


def shadow(pose: Pose, *, length: float, width: float) -> np.ndarray:
    """Ground polygon (4, 2) of X, Z under a vehicle."""
    corners = [[s * width / 2, 0, a * length / 2] for s, a in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return pose.place(corners)[:, [0, 2]]


def _to_camera(canvas: Canvas, pose: Pose) -> np.ndarray:
    camera = canvas.camera
    return np.array([-pose.x - camera.bend * pose.z**2, 0.0, -pose.z])


def _patch(canvas: Canvas, pose: Pose, profile: Profile, *, more: float = 0.0) -> Patch:
    half, height = profile.length / 2, profile.height
    own = [
        [right, up, ahead]
        for right in (-profile.width / 2, profile.width / 2)
        for up in (0, height)
        for ahead in (-half, half + more)
    ]
    return Patch(canvas, canvas.camera.project(pose.place(own)), margin=3)


def _draw_underbody(canvas, patch, pose, profile, wheels, *, radius: float) -> None:
    """Dark underside and the wheels of both sides, so that those of the far side show below."""
    half, middle = profile.width / 2 - 0.1, profile.length / 2
    project = canvas.camera.project
    for side in (-1, 1):
        low = [
            [side * half, y, a]
            for y, a in ((0.2, -middle), (0.5, -middle), (0.5, middle), (0.2, middle))
        ]
        patch.fill(project(pose.place(low)), (22, 22, 24))
        for wheel in wheels:
            flat = circle(wheel - middle, radius, radius)
            rims = [
                np.column_stack([np.full(len(flat), side * right), flat[:, 1], flat[:, 0]])
                for right in (half - 0.2, half)
            ]
            points = project(pose.place(np.concatenate(rims))).astype(np.float32)
            patch.fill(cv2.convexHull(points)[:, 0], _TYRE)


def _draw_car_side(canvas, patch, pose, profile, shape, side: int, body: np.ndarray) -> None:
    """Windows, door line and wheels on the side that the camera sees."""
    project, middle = canvas.camera.project, profile.length / 2
    rear, rear_top, front_top, front = shape['cabin']
    top, belt = profile.height - 0.1, profile.belt
    split = (rear + front) / 2 + 0.1
    for flat in (
        [(rear, belt), (rear_top, top), (split - 0.05, top), (split - 0.05, belt)],
        [(split + 0.05, belt), (split + 0.05, top), (front_top, top), (front, belt)],
    ):
        patch.fill(project(pose.place(profile.on_side(side, flat))), _GLASS, lit=1.0)
    seam = profile.on_side(side, [(split, belt), (split, 0.4)])
    patch.line(project(pose.place(seam)), body * 0.6, width=0.03 * canvas.camera.scale(pose.z))
    for wheel in shape['wheels']:
        for size, color in ((0.36, (20, 20, 22)), (0.31, _TYRE), (0.2, _RIM)):
            disc = circle(wheel - middle, 0.31, size)
            own = np.column_stack(
                [np.full(len(disc), side * profile.width / 2), disc[:, 1], disc[:, 0]]
            )
            patch.fill(project(pose.place(own)), color)


def _draw_ends(canvas, patch, pose, profile, rng) -> np.ndarray | None:
    """Lamps and number plate of the end that the camera sees; returns the plate's outline."""
    towards = _to_camera(canvas, pose)
    facing = pose.turned(0, 0, 1) @ towards
    if abs(facing) < 0.15 * np.linalg.norm(towards):
        return None
    end = 1 if facing > 0 else -1
    ahead = end * profile.length / 2
    half, belt = profile.width / 2, min(profile.belt, 1.1)

    def quad(x: float, y: float, width: float, height: float) -> np.ndarray:
        corners = [[x - width / 2, y - height / 2], [x + width / 2, y - height / 2]]
        corners += [[x + width / 2, y + height / 2], [x - width / 2, y + height / 2]]
        own = [[right, up, ahead] for right, up in corners]
        return canvas.camera.project(pose.place(own))

    lamp = (150, 28, 30) if end < 0 else (226, 224, 210)
    bright = 1.5 if rng.random() < 0.25 else 1.0
    for side in (-1, 1):
        patch.fill(quad(side * (half - 0.22), belt - 0.22, 0.34, 0.17), np.array(lamp) * bright)
    if end > 0:
        patch.fill(quad(0, belt - 0.3, half, 0.2), (34, 34, 36))
    patch.fill(quad(0, 0.4, 2 * half - 0.2, 0.12), (44, 44, 46))
    plate = quad(0, belt - 0.42 if end < 0 else 0.48, 0.52, 0.12)
    patch.fill(plate, (214, 214, 206))
    return plate


def _draw_panes(canvas, patch, pose, profile, face, bus: bool) -> None:
    """Windows of a bus or of a cab, on a face that has been painted."""
    points = canvas.camera.project(face.points)
    if face.name == 'side':
        side = 1 if pose.turned(1, 0, 0) @ _to_camera(canvas, pose) > 0 else -1
        low, top = (1.25, profile.height - 0.45) if bus else (1.35, profile.height - 0.35)
        start, stop, step = (0.4, profile.length - 0.3, 1.45) if bus else (0.7, 1.4, 0.9)
        for left in np.arange(start, stop - 0.5, step):
            right = min(left + step - 0.12, stop)
            flat = [(left, low), (left, top), (right, top), (right, low)]
            patch.fill(canvas.camera.project(pose.place(profile.on_side(side, flat))), _GLASS)
    elif np.ptp(face.points[:, 1]) > 0.6:
        middle = points.mean(0)
        upper = (points - middle) * [0.85, 0.5] + middle
        upper[:, 1] -= 0.16 * np.ptp(points[:, 1])
        patch.fill(upper, _GLASS * 1.2)


def _draw_stripe(canvas, patch, pose, profile, face, rng) -> None:
    """A colored band or lettering on the box of a truck."""
    side = 1 if pose.turned(1, 0, 0) @ _to_camera(canvas, pose) > 0 else -1
    low = rng.uniform(1.0, 1.8)
    start, stop = sorted(rng.uniform(0.3, profile.length - 0.3, 2))
    flat = [(start, low), (start, low + 0.6), (stop, low + 0.6), (stop, low)]
    points = canvas.camera.project(pose.place(profile.on_side(side, flat)))
    patch.fill(points, rng.uniform(30, 210, 3), lit=face.lit)
