"""Tiny results and folders of label maps for the tests of the report."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ('road', 'car', 'Straße', '道路')
PALETTE = ((128, 64, 128), (0, 0, 142), (220, 20, 60), (0, 130, 180))


def write_maps(root: Path, names: list[str], *, seed: int = 0, size: tuple[int, int] = (24, 32)):
    """Folders ``pred``, ``gt`` and ``img`` below ``root`` with one file per name; returns them."""
    rng = np.random.default_rng(seed)
    folders = [root / name for name in ('pred', 'gt', 'img')]
    for name in names:
        label = rng.integers(0, len(CLASSES), (4, 4)).astype(np.uint8).repeat(size[0] // 4, 0)
        label = label.repeat(size[1] // 4, 1)
        prediction = np.roll(label, 1, axis=1)
        prediction[:3, :5] = 1
        label[-2:] = 255
        image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        for folder, content in zip(folders, (prediction, label, image)):
            path = folder / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
    return folders
