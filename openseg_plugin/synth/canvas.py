"""The image in the making, and pieces of image that are laid on it from far to near.

Everything that is laid down with a label leaves its outline in ``Canvas.objects``, in painting
order: this list is the polygon file. Points are (n, 2) canvas pixels, colors RGB 0..255.

Where a point of the street appears in the image.

Street: X meters to the right, Y up, Z forward from the camera; the road is the plane Y = 0.
Canvas: pixels (u right, v down), larger than the final image by the supersampling factor.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike

from openseg_plugin.synth import texture

NEAR = 1.0  # meters; nothing is drawn closer than this


@dataclass(frozen=True)
class Camera:
    """Pinhole camera that looks along the road, which may bend.

    Attributes:
        width, height: of the canvas in pixels.
        focal: focal length in pixels.
        horizon, vanish: row and column of the vanishing point in pixels.
        eye: height of the camera in meters.
        bend: sideways shift of the street, in meters per square meter of distance.
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
        """Pixels per meter at distance z."""
        return self.focal / max(z, NEAR)

    def nearest(self) -> float:
        """Distance in meters of the ground at the bottom row."""
        return self.focal * self.eye / (self.height - self.horizon)

    def ground(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Street X (h, w) and Z (h, 1) of every pixel below the horizon, and its first row."""
        first = int(np.floor(self.horizon)) + 2
        rows = np.arange(first, self.height, dtype=np.float32)[:, None]
        z = self.focal * self.eye / (rows - self.horizon)
        columns = np.arange(self.width, dtype=np.float32)[None, :]
        x = (columns - self.vanish) * z / self.focal - self.bend * z**2
        return x.astype(np.float32), z.astype(np.float32), first


_SHIFT = 3  # fractional bits of polygon corners


@dataclass(frozen=True)
class Light:
    """Light of a scene.

    Attributes:
        tint: (3,) factor of R, G, B.
        sun: 0 (overcast) .. 1 (clear sky).
        side: the sun stands at -1 (left) or 1 (right).
        forward: meters that a shadow runs along Z per meter of height.
        haze: (3,) color of the far distance.
        reach: meters after which 1/e of an object's own color is left.
    """

    tint: np.ndarray
    sun: float
    side: int
    forward: float
    haze: np.ndarray
    reach: float

    def facing(self, right: float, up: float, back: float) -> float:
        """Brightness of a face with this unit normal (back: towards the camera)."""
        ambient = 0.72 + 0.2 * up + 0.04 * back
        return ambient + 0.42 * self.sun * max(0.0, right * self.side * 0.7 + up * 0.6)


@dataclass
class Canvas:
    """Image (H, W, 3) uint8 RGB, its camera and light, and the outlines of what lies on it."""

    camera: Camera
    light: Light
    rgb: np.ndarray = field(init=False)
    objects: list[tuple[str, np.ndarray]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.rgb = np.zeros((self.camera.height, self.camera.width, 3), np.uint8)

    def annotate(self, label: str, outline: ArrayLike) -> None:
        """Adds an object to the polygon file."""
        self.objects.append((label, np.asarray(outline, dtype=np.float64)))

    def lay(self, patch: 'Patch', *, depth: float, label: str | None = None) -> None:
        """Blends a patch over the image, in the haze of its distance in meters."""
        if patch.empty:
            return
        own = np.float32(np.exp(-depth / self.light.reach))
        rgb = patch.rgb * own
        rgb += self.light.haze.astype(np.float32) * (1 - own)
        rgb -= self.rgb[patch.window]
        rgb *= (patch.alpha * np.float32(1 / 255))[..., None]
        rgb += self.rgb[patch.window]
        self.rgb[patch.window] = rgb  # between two images, so in 0..255
        if label is not None:
            outline = patch.outline()
            if outline is not None:
                self.annotate(label, outline)


class Patch:
    """Transparent piece of image around some points; the part outside the canvas is cut off.

    Attributes:
        rgb: (h, w, 3) uint8.
        alpha: (h, w) uint8, 255 = opaque.
        cover: (h, w) uint8, 255 = belongs to the object although one sees through it (spokes).
    """

    def __init__(self, canvas: Canvas, points: np.ndarray, *, margin: int = 1) -> None:
        points = np.asarray(points, float).reshape(-1, 2)
        height, width = canvas.rgb.shape[:2]
        low = np.clip(np.floor(points.min(0)) - margin, 0, (width, height)).astype(int)
        high = np.clip(np.ceil(points.max(0)) + margin + 1, 0, (width, height)).astype(int)
        self.light = canvas.light
        self.origin = low
        self.empty = bool(np.any(high <= low))
        size = (max(high[1] - low[1], 0), max(high[0] - low[0], 0))
        self.window = np.s_[low[1] : low[1] + size[0], low[0] : low[0] + size[1]]
        self.rgb = np.zeros((*size, 3), np.uint8)
        self.alpha = np.zeros(size, np.uint8)
        self.cover = np.zeros(size, np.uint8)

    def fill(self, points, color, *, lit: float = 1.0) -> None:
        """Paints a polygon; ``lit`` is the brightness of the face."""
        if self.empty:
            return
        corners = self._corners(points)
        shown = self._shown(color, lit)
        # the color reaches a pixel further than alpha, so that edges blend with nothing foreign
        cv2.fillPoly(self.rgb, corners, shown, cv2.LINE_8, _SHIFT)
        cv2.polylines(self.rgb, corners, True, shown, 1, cv2.LINE_8, _SHIFT)
        cv2.fillPoly(self.alpha, corners, 255, cv2.LINE_AA, _SHIFT)

    def line(self, points, color, *, width: float, lit: float = 1.0) -> None:
        """Paints an open line, ``width`` pixels wide; thin ones let the background through."""
        if self.empty:
            return
        corners = self._corners(points)
        shown = self._shown(color, lit)
        stroke = max(round(float(width)), 1)
        cv2.polylines(self.rgb, corners, False, shown, stroke + 1, cv2.LINE_8, _SHIFT)
        line = np.zeros_like(self.alpha)
        cv2.polylines(line, corners, False, min(255, 255 * width), stroke, cv2.LINE_AA, _SHIFT)
        np.maximum(self.alpha, line, out=self.alpha)

    def hold(self, points) -> None:
        """Marks a polygon as part of the object without painting it."""
        if not self.empty:
            cv2.fillPoly(self.cover, self._corners(points), 255, cv2.LINE_8, _SHIFT)

    def grain(self, rng: np.random.Generator, amount: float, *, cell: float) -> None:
        """Multiplies by 1 + amount * noise with blobs of ``cell`` pixels."""
        if not self.empty:
            noise = texture.piece(rng, *self.alpha.shape, cell=cell)
            self.multiply(1 + amount * noise)

    def multiply(self, factor: ArrayLike) -> None:
        """Multiplies the colors by (h, w) or anything that broadcasts to it."""
        factor = np.broadcast_to(factor, self.alpha.shape)[..., None].astype(np.float32)
        self.rgb = np.clip(self.rgb * factor, 0, 255).astype(np.uint8)

    def outline(self) -> np.ndarray | None:
        """Outer border of the largest connected part, (n, 2) canvas pixels; None for nothing."""
        mask = ((self.alpha > 127) | (self.cover > 127)).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if not contours:
            return None
        largest = max(contours, key=cv2.contourArea)
        return cv2.approxPolyDP(largest, 0.7, True)[:, 0].astype(float) + self.origin

    def _shown(self, color, lit: float) -> list[float]:
        """A color in the light of the scene."""
        return [min(max(c * t * lit, 0), 255) for c, t in zip(color, self.light.tint)]

    def _corners(self, points) -> list[np.ndarray]:
        # far outside is as good as just outside, and fits fixed-point numbers
        inside = np.clip(np.asarray(points, float) - self.origin, -20000, 20000)
        return [np.round(inside * 2**_SHIFT).astype(np.int32).reshape(-1, 1, 2)]
