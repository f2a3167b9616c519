"""What is not built: plants, the sky, weather and light, and what closes the street far away."""

import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Camera, Canvas, Light, Patch
from openseg_plugin.synth.layout import FAR

_LEAVES = [(78, 96, 46), (96, 112, 60), (62, 84, 48), (112, 112, 58), (120, 92, 50), (54, 76, 54)]
_BARK = [(84, 72, 60), (104, 94, 82), (70, 64, 60)]


def draw_tree(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, *, height: float
) -> None:
    """A tree at street place x, z; backbone and crown are objects of their own. Meters."""
    camera = canvas.camera
    backbone, radius = height * rng.uniform(0.22, 0.42), height * rng.uniform(0.2, 0.34)
    thick = 0.035 * height * rng.uniform(0.7, 1.2)
    lean = rng.uniform(-0.3, 0.3)
    crown_y = (height + backbone) / 2
    stem = camera.project(
        [
            [x - thick, 0, z],
            [x - thick * 0.7 + lean, crown_y, z],
            [x + thick * 0.7 + lean, crown_y, z],
            [x + thick, 0, z],
        ]
    )
    patch = Patch(canvas, stem)
    patch.fill(stem, texture.pick(rng, _BARK), lit=canvas.light.facing(0, 0, 1))
    patch.grain(rng, 0.15, cell=max(0.05 * camera.scale(z), 1))
    canvas.lay(patch, depth=z, label='vegetation')
    center = camera.project([[x + lean, crown_y, z]])[0]
    half = (height - backbone) / 2 * 1.15
    _draw_leaves(
        canvas, rng, _blob(rng, center, radius * camera.scale(z), half * camera.scale(z)), z
    )


def draw_bush(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, *, width: float, height: float
) -> None:
    """A bush or a piece of hedge that stands on the ground."""
    scale = canvas.camera.scale(z)
    foot = canvas.camera.project([[x, 0, z]])[0]
    blob = _blob(rng, foot - [0, height * scale * 0.45], width / 2 * scale, height * 0.55 * scale)
    blob[:, 1] = np.minimum(blob[:, 1], foot[1])
    _draw_leaves(canvas, rng, blob, z)


def draw_hedge(
    canvas: Canvas,
    rng: np.random.Generator,
    x: float,
    near: float,
    far: float,
    *,
    height: float,
) -> None:
    """A cut hedge along the street at X = x."""
    z = np.linspace(far, max(near, 1.2), 18)
    ragged = height * (1 + 0.07 * rng.standard_normal(len(z)))
    top = np.stack([np.full_like(z, x), ragged, z], 1)
    foot = np.stack([np.full_like(z, x), np.zeros_like(z), z], 1)[::-1]
    _draw_leaves(canvas, rng, canvas.camera.project(np.concatenate([top, foot])), max(near, 5.0))


def _blob(rng: np.random.Generator, center, radius_u: float, radius_v: float) -> np.ndarray:
    """Ragged closed curve (n, 2) around a point: a few lobes plus small teeth. Pixels."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    size = np.ones_like(angle)
    for waves, strength in ((2, 0.07), (3, 0.09), (5, 0.07), (9, 0.05)):
        size += strength * np.sin(waves * angle + rng.uniform(0, 6.3)) * rng.uniform(0.3, 1.3)
    size += 0.035 * rng.standard_normal(len(angle))
    curve = np.stack([np.cos(angle) * radius_u, np.sin(angle) * radius_v], 1)
    return np.asarray(center) + curve * size[:, None]


def _draw_leaves(
    canvas: Canvas, rng: np.random.Generator, outline: np.ndarray, depth: float
) -> None:
    patch = Patch(canvas, outline)
    if patch.empty:
        return
    light, scale = canvas.light, canvas.camera.scale(depth)
    patch.fill(outline, texture.pick(rng, _LEAVES, spread=0.16))
    height, width = patch.alpha.shape
    clump = texture.piece(rng, height, width, cell=max(0.5 * scale, 2))
    leaf = texture.piece(rng, height, width, cell=max(0.13 * scale, 1.2))
    # brighter on top and towards the sun
    up = np.linspace(1, -1, height)[:, None]
    side = np.linspace(-1, 1, width)[None, :] * light.side
    relief = 0.2 * clump + 0.17 * leaf + light.sun * (0.2 * up + 0.12 * side) + 0.08 * up
    patch.multiply(np.clip(0.95 + relief, 0.3, 1.7))
    # gaps that show what is behind; the outline ignores them
    patch.cover[:] = patch.alpha
    gaps = (clump + 0.8 * leaf < -2.1) & (patch.alpha == 255)
    patch.alpha[gaps] = 40
    canvas.lay(patch, depth=depth, label='vegetation')


# (chance, color at the top, color at the horizon, sun, tint of the light)
_WEATHER = (
    (0.30, (104, 142, 196), (190, 208, 226), (0.7, 1.0), (1.04, 1.01, 0.95)),
    (0.30, (186, 190, 196), (206, 208, 210), (0.0, 0.15), (0.94, 0.96, 1.0)),
    (0.20, (138, 156, 180), (200, 206, 212), (0.2, 0.6), (1.0, 1.0, 0.99)),
    (0.12, (108, 116, 150), (226, 190, 156), (0.4, 0.9), (1.06, 0.95, 0.82)),
    (0.08, (104, 110, 122), (150, 154, 162), (0.0, 0.05), (0.72, 0.75, 0.84)),
)


class Weather:
    """Colors of the sky and the light below it."""

    def __init__(self, rng: np.random.Generator) -> None:
        chances = np.array([row[0] for row in _WEATHER])
        _, top, low, sun, tint = _WEATHER[rng.choice(len(_WEATHER), p=chances / chances.sum())]
        self.top = texture.vary(rng, top, 0.08)
        self.low = texture.vary(rng, low, 0.05)
        self.clouds = rng.uniform(0.0, 1.0)
        self.light = Light(
            tint=np.array(tint) * rng.uniform(0.9, 1.08),
            sun=rng.uniform(*sun),
            side=int(rng.choice([-1, 1])),
            forward=rng.uniform(-0.6, 0.9),
            haze=np.clip(self.low * 0.95, 0, 255),
            reach=rng.uniform(110, 420),
        )


def draw_sky(canvas: Canvas, weather: Weather, rng: np.random.Generator) -> None:
    """Gradient and clouds above the horizon; outlined as sky over the whole upper part."""
    camera = canvas.camera
    rows = int(np.ceil(camera.horizon)) + 3
    down = (np.arange(rows) / rows)[:, None, None] ** 1.3
    sky = weather.top * (1 - down) + weather.low * down + np.zeros((rows, camera.width, 1))
    shape = (rows, camera.width)
    cloud = texture.piece(rng, *shape, cell=camera.width / 5)
    cloud = cloud + 0.5 * texture.piece(rng, *shape, cell=camera.width / 14)
    cloud = cloud + 0.25 * texture.piece(rng, *shape, cell=camera.width / 40)
    fraction = np.clip(0.25 + 0.45 * cloud, 0, 1) * weather.clouds * 0.8
    white = np.minimum(weather.low * rng.uniform(0.95, 1.2), 250)
    sky += fraction[..., None] * (white - sky)
    canvas.rgb[:rows] = np.clip(sky, 0, 255)
    canvas.annotate('sky', [[0, 0], [camera.width, 0], [camera.width, rows], [0, rows]])


def draw_backdrop(canvas: Canvas, rng: np.random.Generator) -> None:
    """Far houses and trees along the horizon, so that the street ends in something."""
    camera, far = canvas.camera, FAR * 1.5
    per_meter = camera.scale(far)
    base = float(camera.project([[0, 0, far * 2]])[0, 1])
    u = rng.uniform(-60, 0)
    while u < camera.width:
        width = rng.uniform(6, 30) * per_meter
        if rng.random() < 0.55:
            height = rng.uniform(6, 22) * per_meter
            roof = [[u, base - height], [u + width, base - height]]
            if rng.random() < 0.4:
                roof.insert(1, [u + width / 2, base - height * 1.35])
            outline = np.array([[u, base], *roof, [u + width, base]])
            color, label = texture.pick(rng, [(150, 142, 132), (128, 112, 104)]), 'building'
        else:
            height = rng.uniform(4, 13) * per_meter
            x = np.linspace(0, 1, 14)
            top = np.sqrt(np.sin(np.pi * x)) * (1 + 0.2 * rng.standard_normal(14))
            outline = np.stack([u + x * width, base - height * np.clip(top, 0.02, None)], 1)
            color, label = texture.pick(rng, [(84, 98, 62), (70, 84, 60)]), 'vegetation'
        patch = Patch(canvas, outline)
        patch.fill(outline, color)
        patch.grain(rng, 0.12, cell=4)
        canvas.lay(patch, depth=far * 0.8, label=label)
        u += width * rng.uniform(0.55, 0.95)


def draw_camera(rng: np.random.Generator, *, width: int, height: int) -> Camera:
    """Camera behind a windscreen: a little pitch, sometimes a bend of the road ahead."""
    bend = 0.0 if rng.random() < 0.55 else float(rng.uniform(-0.0016, 0.0016))
    return Camera(
        width=width,
        height=height,
        focal=width * rng.uniform(0.85, 1.15),
        horizon=height * rng.uniform(0.40, 0.50),
        vanish=width * rng.uniform(0.38, 0.62),
        eye=rng.uniform(1.2, 1.75),
        bend=bend,
    )
