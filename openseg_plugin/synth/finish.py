"""From the canvas to a camera's picture: exposure, lens, sensor noise."""

import cv2
import numpy as np

from openseg_plugin.synth.canvas import Canvas


def draw_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """The own car's bonnet at the lower edge: "ego vehicle", which no metric counts."""
    height, width = canvas.rgb.shape[:2]
    rise = rng.uniform(0.03, 0.075) * height
    u = np.linspace(0, width, 40)
    curve = height - rise * (0.55 + 0.45 * np.sin(np.pi * u / width) ** 0.7)
    outline = np.vstack([np.stack([u, curve], 1), [[width, height], [0, height]]])
    first = int(curve.min()) - 1
    rows = np.arange(first, height)[:, None]
    gloss = np.clip((rows - curve.min()) / (rise + 1), 0, 1)
    colour = rng.uniform(18, 60) * (1.5 - 0.8 * gloss) + 30 * canvas.light.sun * (1 - gloss) ** 4
    mask = np.zeros((height - first, width), np.uint8)
    cv2.fillPoly(mask, [(outline - [0, first]).round().astype(np.int32)], 255, cv2.LINE_AA)
    share = mask[..., None] / 255
    below = canvas.rgb[first:]
    below[:] = (below * (1 - share) + colour[..., None] * share).astype(np.uint8)
    canvas.annotate('ego vehicle', outline)


def develop(canvas: Canvas, rng: np.random.Generator, *, size: tuple[int, int]) -> np.ndarray:
    """The final picture (H, W, 3) uint8 RGB of ``size`` (H, W)."""
    height, width = size
    image = cv2.resize(canvas.rgb, (width, height), interpolation=cv2.INTER_AREA)
    image = image.astype(np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    image *= (1 - np.float32(rng.uniform(0, 0.22)) * (x**2 + y**2) / 2)[..., None]
    balance = rng.uniform(0.82, 1.18) * (1 + 0.03 * rng.standard_normal(3))
    image *= balance.astype(np.float32)
    gamma = np.float32(rng.uniform(0.85, 1.15))
    image = 255 * np.clip(image / 255, 0, 1) ** gamma
    blur = rng.uniform(0, 0.75)
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    noise = rng.standard_normal((height, width, 1), np.float32)
    noise = noise + 0.5 * rng.standard_normal((height, width, 3), np.float32)
    image += np.float32(rng.uniform(0.8, 3.6)) * noise * (0.4 + np.sqrt(image / 255))
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
