"""Road, sidewalks and grass: painted pixel by pixel in street coordinates, outlined by strips."""

import cv2
import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Canvas, Patch
from openseg_plugin.synth.layout import FAR, Layout, Side

_ASPHALT = [(92, 92, 96), (112, 110, 110), (80, 82, 88), (128, 124, 120), (104, 100, 98)]
_PAVING = [(128, 124, 120), (146, 140, 132), (112, 112, 114), (150, 132, 120), (120, 116, 104)]
_GRASS = [(88, 104, 52), (104, 112, 62), (72, 92, 48), (120, 112, 72), (98, 88, 62)]
_WHITE, _YELLOW = (214, 214, 208), (206, 176, 84)


class Ground:
    """Color field (h, w, 3) of the rows below the horizon, and how sharp it can be.

    Attributes:
        x, z: street place of every pixel, (h, w) and (h, 1).
        wide, deep: size of a pixel on the ground along X and Z, (h, 1), meters.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator) -> None:
        self.canvas, self.rng = canvas, rng
        camera = canvas.camera
        self.x, self.z, self.first = camera.ground()
        self.wide = self.z / camera.focal
        self.deep = self.z**2 / (camera.focal * camera.eye)
        self.rgb = np.zeros((*self.x.shape, 3), np.float32)

    def noise(self, meters: float) -> np.ndarray:
        """Noise (h, w) that fades where a pixel is larger than its blobs."""
        sharp = np.clip(1.5 * meters / self.deep, 0, 1)
        shift = np.float32(self.rng.uniform(0, 40))
        return texture.on_ground(self.x + shift, self.z + shift, meters=meters) * sharp

    def between(self, low: float, high: float, *, along: str = 'x') -> np.ndarray:
        """Fraction of every pixel between two values of X or Z: soft edges, 0..1."""
        place, pixel = (self.x, self.wide) if along == 'x' else (self.z, self.deep)
        inside = np.minimum(place - np.float32(low), np.float32(high) - place) / pixel
        return np.broadcast_to(np.clip(inside + np.float32(0.5), 0, 1), self.x.shape)

    def put(self, color: np.ndarray, fraction: np.ndarray) -> None:
        """Blends a color (3,) or (h, w, 3) over the field, where there is a fraction (h, w)."""
        rows, columns = np.flatnonzero(fraction.any(1)), np.flatnonzero(fraction.any(0))
        if not rows.size:
            return
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        color = np.asarray(color, np.float32)
        if color.ndim == 3:
            color = color[window]
        field = self.rgb[window]
        field += fraction[window][..., None].astype(np.float32) * (color - field)

    def asphalt(self) -> np.ndarray:
        """(h, w, 3): speckled, patched, with worn tracks and cracks."""
        base = texture.pick(self.rng, _ASPHALT).astype(np.float32)
        bright = 1 + 0.05 * self.noise(0.05) + 0.05 * self.noise(0.6) + 0.05 * self.noise(4.0)
        tracks = np.cos(2 * np.pi * (self.x + 0.75) / 1.6)
        bright += np.float32(self.rng.uniform(-0.05, 0.04)) * tracks
        if self.rng.random() < 0.5:
            cracks = np.abs(self.noise(1.7)) < 0.045
            bright -= 0.16 * cracks * np.clip(0.12 / self.deep, 0, 1)
        return base * bright[..., None]

    def paving(self, color: np.ndarray) -> np.ndarray:
        """(h, w, 3): slabs with joints."""
        slab = np.float32(self.rng.uniform(0.4, 1.0))
        bright = 1 + 0.05 * self.noise(0.08) + 0.06 * self.noise(1.0)
        for place, pixel in ((self.x, self.wide), (self.z, self.deep)):
            joint = np.abs((place / slab) % 1 - 0.5) * slab
            bright = bright - 0.2 * np.clip(1 - joint / 0.025, 0, 1) * np.clip(0.05 / pixel, 0, 1)
        cell = np.floor(self.x / slab) * 12.9898 + np.floor(self.z / slab) * 78.233
        fade = np.clip(0.5 * slab / self.deep, 0, 1)
        bright = bright + 0.05 * fade * (np.modf(np.abs(np.sin(cell) * 43758.5453))[0] - 0.5)
        return color.astype(np.float32) * bright[..., None]

    def grass(self) -> np.ndarray:
        """(h, w, 3): lawn, dry grass or bare soil."""
        base, other = (texture.pick(self.rng, _GRASS).astype(np.float32) for _ in range(2))
        bright = 1 + 0.13 * self.noise(0.07) + 0.1 * self.noise(0.4)
        mix = np.clip(0.5 + 0.4 * self.noise(2.5), 0, 1)[..., None]
        return (base * mix + other * (1 - mix)) * bright[..., None]

    def lay(self, shade: np.ndarray) -> None:
        """Lights the field, puts it on the canvas in the haze; ``shade`` (h, w) is 1 in the sun."""
        light = self.canvas.light
        own = np.exp(-self.z / light.reach).astype(np.float32)
        tint = (light.facing(0, 1, 0) * light.tint).astype(np.float32)
        self.rgb *= (shade * own)[..., None] * tint
        self.rgb += (1 - own)[..., None] * light.haze.astype(np.float32)
        self.canvas.rgb[self.first :] = np.clip(self.rgb, 0, 255, out=self.rgb)


def draw_ground(
    canvas: Canvas,
    layout: Layout,
    rng: np.random.Generator,
    *,
    shadows: list[np.ndarray],
    below: list[np.ndarray],
) -> None:
    """Paints and outlines everything at height 0.

    Args:
        canvas: has the sky already.
        layout: of the street.
        rng: for colors and wear.
        shadows: ground polygons (n, 2) of X, Z that the sun does not reach.
        below: the same under vehicles, dark in any weather.
    """
    ground = Ground(canvas, rng)
    asphalt, grass = ground.asphalt(), ground.grass()
    paving_color = texture.pick(rng, _PAVING)
    paving = ground.paving(paving_color)
    for side in layout.sides:
        _draw_side(ground, side, grass, paving)
    left, right = layout.sides
    ground.put(asphalt, ground.between(-left.curb, right.curb))
    for edge in (-left.curb, right.curb):
        stone = paving_color * rng.uniform(0.95, 1.3)
        outer = edge + 0.17 * np.sign(edge)
        ground.put(stone, ground.between(min(edge, outer), max(edge, outer)))
    _annotate(canvas, -left.curb, right.curb, 'road')
    if layout.crossing is not None:
        ground.put(asphalt, ground.between(*layout.crossing, along='z'))
        _annotate(canvas, -60, 60, 'road', *layout.crossing)
    _draw_markings(ground, layout, rng)
    _draw_lids(ground, layout, rng)
    cast = rng.uniform(0.45, 0.6) * canvas.light.sun * _covered(canvas, shadows, ground)
    ground.lay((1 - cast) * (1 - 0.5 * _covered(canvas, below, ground)))


def _draw_side(ground: Ground, side: Side, grass: np.ndarray, paving: np.ndarray) -> None:
    """Strips of ground from far outside to the curb; later ones cover earlier ones."""
    canvas, wide = ground.canvas, 200.0
    open_ground = side.garden or not side.houses
    strips = [(side.walk, wide, 'terrain' if open_ground else 'sidewalk')]
    strips.append((side.curb, side.walk, 'sidewalk'))
    if side.verge > side.curb:
        strips.append((side.curb, side.verge, 'terrain'))
    for inner, outer, label in strips:
        low, high = sorted((side.sign * inner, side.sign * outer))
        ground.put(grass if label == 'terrain' else paving, ground.between(low, high))
        _annotate(canvas, low, high, label)


def _annotate(
    canvas: Canvas, low: float, high: float, label: str, near: float = 0.0, far: float = 4 * FAR
) -> None:
    """Outline of the ground between X low..high and Z near..far."""
    camera = canvas.camera
    near = max(near, camera.nearest() * 0.8)
    if near >= far:
        return
    z = np.geomspace(near, far, 40)
    edges = [np.stack([np.full_like(z, x), np.zeros_like(z), z], 1) for x in (low, high)]
    canvas.annotate(label, camera.project(np.concatenate([edges[0], edges[1][::-1]])))


def _draw_markings(ground: Ground, layout: Layout, rng: np.random.Generator) -> None:
    """Lane lines, zebra, stop line; worn."""
    left, right = layout.sides
    worn = np.clip(0.85 + 0.3 * ground.noise(0.5), 0.2, 1) * rng.uniform(0.55, 1.0)
    free = np.ones_like(ground.x)
    if layout.crossing is not None:
        free = 1 - ground.between(layout.crossing[0] - 6, layout.crossing[1] + 1, along='z')
    if rng.random() < 0.8:
        color = np.array(_YELLOW if rng.random() < 0.2 else _WHITE)
        dash = np.ones_like(ground.z)
        if rng.random() < 0.75:
            period, length = rng.uniform(6, 12), rng.uniform(2.5, 5)
            place = (ground.z + rng.uniform(0, 9)) % period
            dash = np.clip(np.minimum(place, length - place) / ground.deep + 0.5, 0, 1)
            dash = np.where(ground.deep > 2, length / period, dash)
        line = ground.between(layout.center - 0.07, layout.center + 0.07)
        ground.put(color, line * dash * free * worn)
    if rng.random() < 0.35:
        for edge in (-left.curb + 0.35, right.curb - 0.35):
            ground.put(np.array(_WHITE), ground.between(edge - 0.06, edge + 0.06) * free * worn)
    if layout.zebra is not None:
        road = ground.between(-left.curb + 0.3, right.curb - 0.3)
        stripe = np.clip((0.25 - np.abs((ground.x % 1.0) - 0.5)) / ground.wide + 0.5, 0, 1)
        ground.put(
            np.array(_WHITE), road * stripe * ground.between(*layout.zebra, along='z') * worn
        )
        if rng.random() < 0.6:
            stop = ground.between(layout.zebra[0] - 1.4, layout.zebra[0] - 1.0, along='z')
            lane = ground.between(layout.center + 0.1, right.curb - 0.2)
            ground.put(np.array(_WHITE), stop * lane * worn)


def _draw_lids(ground: Ground, layout: Layout, rng: np.random.Generator) -> None:
    """Manhole lids and repaired patches of the road."""
    left, right = layout.sides
    for _ in range(rng.integers(0, 4)):
        x, z = rng.uniform(-left.curb + 0.5, right.curb - 0.5), rng.uniform(5, 22)
        radius = np.hypot(ground.x - x, ground.z - z)
        fraction = np.clip((0.33 - radius) / ground.wide, 0, 1)
        ground.put(ground.rgb * rng.uniform(0.6, 1.25), fraction * 0.8)
    for _ in range(rng.integers(0, 4)):
        x, z = rng.uniform(-left.curb, right.curb - 1), rng.uniform(4, 30)
        fraction = ground.between(x, x + rng.uniform(0.6, 2.6))
        fraction = fraction * ground.between(z, z + rng.uniform(1, 6), along='z')
        road = ground.between(-left.curb, right.curb)
        ground.put(ground.rgb * rng.uniform(0.78, 1.15), fraction * road)


def _covered(canvas: Canvas, polygons: list[np.ndarray], ground: Ground) -> np.ndarray:
    """Share (h, w) of every ground pixel inside any of the polygons of X, Z; soft edges."""
    mask = np.zeros((canvas.camera.height, canvas.camera.width), np.uint8)
    for polygon in polygons:
        polygon = np.asarray(polygon, float)
        z = np.maximum(polygon[:, 1], canvas.camera.nearest() * 0.6)
        points = canvas.camera.project(np.stack([polygon[:, 0], np.zeros(len(z)), z], 1))
        patch = Patch(canvas, points)
        if not patch.empty:
            patch.fill(points, (0, 0, 0))
            np.maximum(mask[patch.window], patch.alpha, out=mask[patch.window])
    soft = cv2.GaussianBlur(mask[ground.first :], (0, 0), canvas.camera.width / 500)
    return soft.astype(np.float32) / 255
