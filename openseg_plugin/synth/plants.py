"""Trees, bushes and hedges: ragged outlines filled with clumps of light and dark leaves."""

import numpy as np

from openseg_plugin.synth import texture
from openseg_plugin.synth.canvas import Canvas, Patch

_LEAVES = [(78, 96, 46), (96, 112, 60), (62, 84, 48), (112, 112, 58), (120, 92, 50), (54, 76, 54)]
_BARK = [(84, 72, 60), (104, 94, 82), (70, 64, 60)]


def draw_tree(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, *, height: float
) -> None:
    """A tree at street place x, z; backbone and crown are objects of their own. Metres."""
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
    centre = camera.project([[x + lean, crown_y, z]])[0]
    half = (height - backbone) / 2 * 1.15
    _draw_leaves(
        canvas, rng, _blob(rng, centre, radius * camera.scale(z), half * camera.scale(z)), z
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


def _blob(rng: np.random.Generator, centre, radius_u: float, radius_v: float) -> np.ndarray:
    """Ragged closed curve (n, 2) around a point: a few lobes plus small teeth. Pixels."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    size = np.ones_like(angle)
    for waves, strength in ((2, 0.07), (3, 0.09), (5, 0.07), (9, 0.05)):
        size += strength * np.sin(waves * angle + rng.uniform(0, 6.3)) * rng.uniform(0.3, 1.3)
    size += 0.035 * rng.standard_normal(len(angle))
    curve = np.stack([np.cos(angle) * radius_u, np.sin(angle) * radius_v], 1)
    return np.asarray(centre) + curve * size[:, None]


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
