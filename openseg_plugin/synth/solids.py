"""Bodies of vehicles: a side profile drawn out to a width, turned, and seen in perspective.

Own axes of a body: right, up, ahead (metres), the origin on the ground under its middle.
"""

from dataclasses import dataclass

import numpy as np

from openseg_plugin.synth.camera import Camera
from openseg_plugin.synth.canvas import Light


@dataclass(frozen=True)
class Pose:
    """Where a body stands: street x, z in metres; turn in radians (0: drives away from us)."""

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
        distance: metres from the camera, for painting from far to near.
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
        width: metres.
        belt: height above which the body gets narrower.
        narrow: share of the width that is lost at the top.
    """

    corners: np.ndarray
    width: float
    belt: float
    narrow: float

    @property
    def length(self) -> float:
        """Metres from end to end."""
        return float(np.ptp(self.corners[:, 0]))

    @property
    def height(self) -> float:
        """Metres above the ground."""
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
        found = []
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
        for own, normal, name in found:
            points = pose.place(own)
            direction = pose.turned(*normal)
            towards = np.array([0.0, camera.eye, 0.0]) - points.mean(0)
            # the bend of the road moves the body sideways
            towards[0] -= camera.bend * points[:, 2].mean() ** 2
            if towards @ direction > 0:
                lit = light.facing(direction[0], direction[1], -direction[2])
                faces.append(Face(points, lit, name, float(np.linalg.norm(towards))))
        return sorted(faces, key=lambda face: -face.distance)
