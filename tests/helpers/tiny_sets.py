"""Tiny raw datasets for the tests of running, archives and bad input."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (24, 32)  # height, width
CITIES = ('aachen', 'bochum')


def save(path: Path, values: np.ndarray) -> Path:
    """Writes an image and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def image(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Random colors: (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def numbers(last: int, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Random values 0..last: (H, W) uint8."""
    return np.random.default_rng(seed).integers(0, last + 1, size, np.uint8)


def make_cityscapes(root: Path, *, per_city: int = 2) -> Path:
    """Fine labels of two cities in split train: labelIds, instanceIds and polygons."""
    for c, city in enumerate(CITIES):
        for k in range(per_city):
            stem = f'{city}_{k:06d}_000019'
            seed = 100 * c + k
            save(root / f'leftImg8bit/train/{city}/{stem}_leftImg8bit.png', image(seed))
            gt = root / f'gtFine/train/{city}/{stem}_gtFine_labelIds.png'
            save(gt, numbers(33, seed))
            instances = numbers(33, seed).astype(np.uint16) * 1000
            save(gt.with_name(f'{stem}_gtFine_instanceIds.png'), instances)
            write_polygons(gt.with_name(f'{stem}_gtFine_polygons.json'))
    return root


def write_polygons(path: Path, objects: list[dict] | None = None) -> Path:
    """A polygon file of Cityscapes with one car, or with the given objects."""
    car = {'label': 'car', 'polygon': [[2, 2], [20, 2], [20, 12], [2, 12]]}
    content = {'imgHeight': SIZE[0], 'imgWidth': SIZE[1], 'objects': objects or [car]}
    return write_json(path, content)


def write_json(path: Path, content: object) -> Path:
    """Writes a JSON file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def make_labelme(root: Path, shapes: list[dict], name: str = 'a') -> Path:
    """One image with labelme shapes and two classes."""
    save(root / f'{name}.png', image())
    (root / 'class_names.txt').write_text('_background_\nwire\nmast\n')
    content = {
        'imagePath': f'{name}.png',
        'imageHeight': SIZE[0],
        'imageWidth': SIZE[1],
        'shapes': shapes,
    }
    write_json(root / f'{name}.json', content)
    return root


def shape(label: str, points: list[list[float]], kind: str = 'polygon') -> dict:
    """A labelme shape."""
    return {'label': label, 'points': points, 'shape_type': kind, 'group_id': None}


def files_below(root: Path) -> set[str]:
    """Relative paths of all files."""
    return {p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file()}


def label_of(dst: Path, name: str, split: str = 'train') -> np.ndarray:
    """A converted label map."""
    with Image.open(dst / split / 'label' / f'{name}.png') as opened:
        return np.asarray(opened)


def box(rows: slice, columns: slice, value: int = 1) -> np.ndarray:
    """A map of zeros with a box of another value."""
    values = np.zeros(SIZE, np.uint8)
    values[rows, columns] = value
    return values
