"""Where a point of the street appears in the picture.

Street: X metres to the right, Y up, Z forward from the camera; the road is the plane Y = 0.
Canvas: pixels (u right, v down), larger than the final picture by the supersampling factor.
"""

from dataclasses import dataclass

import numpy as np

NEAR = 1.0  # metres; nothing is drawn closer than this


@dataclass(frozen=True)
class Camera:
    """Pinhole camera that looks along the road, which may bend.

    Attributes:
        width, height: of the canvas in pixels.
        focal: focal length in pixels.
        horizon, vanish: row and column of the vanishing point in pixels.
        eye: height of the camera in metres.
        bend: sideways shift of the street, in metres per square metre of distance.
    """

    width: int
    height: int
    focal: float
    horizon: float
    vanish: float
    eye: float
    bend: float

    def project(self, points: np.ndarray | list) -> np.ndarray:
        """Street points (n, 3) of X, Y, Z -> canvas points (n, 2) of u, v."""
        x, y, z = np.asarray(points, dtype=np.float64).reshape(-1, 3).T
        z = np.maximum(z, NEAR)
        u = self.vanish + self.focal * (x + self.bend * z**2) / z
        v = self.horizon + self.focal * (self.eye - y) / z
        return np.stack([u, v], axis=1)

    def scale(self, z: float) -> float:
        """Pixels per metre at distance z."""
        return self.focal / max(z, NEAR)

    def nearest(self) -> float:
        """Distance in metres of the ground at the bottom row."""
        return self.focal * self.eye / (self.height - self.horizon)

    def ground(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Street X (h, w) and Z (h, 1) of every pixel below the horizon, and its first row."""
        first = int(np.floor(self.horizon)) + 2
        rows = np.arange(first, self.height, dtype=np.float32)[:, None]
        z = self.focal * self.eye / (rows - self.horizon)
        columns = np.arange(self.width, dtype=np.float32)[None, :]
        x = (columns - self.vanish) * z / self.focal - self.bend * z**2
        return x.astype(np.float32), z.astype(np.float32), first
