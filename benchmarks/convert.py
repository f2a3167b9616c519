"""Converting labels: ours beside the steps of the original tools, and over two cores.

The original steps are those of openseg's loader (one comparison per class), of cityscapesscripts
(polygons, one file at a time) and of CE2P (edges); written anew here, results are compared.
"""

import functools
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.core import Case, Setting, exactly, within
from openseg_plugin.converters.datasets.cityscapes import draw_labels, ids_to_trainids
from openseg_plugin.converters.datasets.core.images import (
    apply_table,
    encode_png,
    palette_bytes,
    read_known,
)
from openseg_plugin.converters.datasets.core.pairs import edge_map
from openseg_plugin.datasets.classes import (
    CITYSCAPES_LABELS,
    CITYSCAPES_PALETTE,
    CITYSCAPES_TRAIN_IDS,
)
from openseg_plugin.utils.pool import usable_cores

_OBJECTS = 120  # polygons in a street scene, about as many as the release has
_IMAGES = 600  # a fifth of Cityscapes: of fewer the start of a second process is a large part
_OWN_IMAGES = 60
_COMMAND = 'from openseg_plugin.cli.convert_dataset import main; main()'


def cases(setting: Setting) -> Iterator[Case]:
    """Label ids to train ids (in memory, and as files), polygons, edges, own data, two cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        polygons = _write_polygons(folder / 'scene_polygons.json', setting.size)
        ids = draw_labels(polygons, 'ids')
        file = folder / 'ids.png'
        Image.fromarray(ids).save(file)
        table = ids_to_trainids()
        yield Case(
            'ids to trainids',
            lambda: torch.from_numpy(_class_by_class(ids)),
            lambda: torch.from_numpy(apply_table(ids, table)),
            exactly,
            6.0,
        )
        yield Case(
            'label file', lambda: _file_stock(file), lambda: _file_ours(file, table), exactly
        )
        yield Case(
            'polygons',
            lambda: _polygons_stock(polygons),
            lambda: _polygons_ours(polygons),
            exactly,
        )
        yield Case(
            'edges',
            lambda: torch.from_numpy(_edges_stock(ids, 3)),
            lambda: torch.from_numpy(edge_map(ids, width=3)),
            exactly,
        )
        own = _write_own(folder / 'own', polygons)
        yield Case(
            'labelme -> coco_polygons',
            functools.partial(_convert, own / 'labelme', folder / 'a', 1, of='labelme'),
            functools.partial(_convert, own / 'coco', folder / 'b', 1, of='coco_polygons'),
            within(0.01),  # of the largest class: each format has its own rule for the border
            wall=True,
        )
        raw = _make_release(folder / 'raw', file, setting.size)
        both = functools.partial(_convert, raw, folder / 'dst')
        print(_beside_cp(raw, folder), flush=True)
        yield Case('1 -> 2 processes', lambda: both(1), lambda: both(2), exactly, wall=True)


def _class_by_class(ids: np.ndarray) -> np.ndarray:
    """(H, W) uint8 label ids -> train ids with one comparison per class."""
    train = np.full_like(ids, 255)
    for number, label_id in enumerate(CITYSCAPES_TRAIN_IDS):
        train[ids == label_id] = number
    return train


def _file_stock(file: Path) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray(_class_by_class(np.array(Image.open(file)))).save(buffer, 'PNG')
    return _decoded(buffer.getvalue())


def _file_ours(file: Path, table: np.ndarray) -> torch.Tensor:
    label = read_known(file, last=33, table=table)
    return _decoded(encode_png(label, palette_bytes(CITYSCAPES_PALETTE)))


def _polygons_stock(path: Path) -> torch.Tensor:
    """One drawing per object, by name; then a PNG with the library's own settings."""
    content = json.loads(path.read_text())
    by_name = {label.name: label for label in CITYSCAPES_LABELS}
    canvas = Image.new('L', (content['imgWidth'], content['imgHeight']), 255)
    for item in content['objects']:
        points = [tuple(point) for point in item['polygon']]
        ImageDraw.Draw(canvas).polygon(points, fill=by_name[item['label']].train_id)
    buffer = io.BytesIO()
    canvas.save(buffer, 'PNG')
    return _decoded(buffer.getvalue())


def _polygons_ours(path: Path) -> torch.Tensor:
    return _decoded(encode_png(draw_labels(path, 'trainids'), palette_bytes(CITYSCAPES_PALETTE)))


def _edges_stock(label: np.ndarray, width: int) -> np.ndarray:
    """CE2P's steps: four masks set one after the other, then the dilation."""
    edge = np.zeros(label.shape, np.uint8)
    valid = label != 255
    for here, there in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None, -1)), (slice(1, None), slice(1, None))),
        ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))),
    ):
        edge[here][(label[here] != label[there]) & valid[here] & valid[there]] = 255
    return cv2.dilate(edge, cv2.getStructuringElement(cv2.MORPH_RECT, (width, width)))


def _convert(raw: Path, dst: Path, workers: int, *, of: str = 'cityscapes') -> torch.Tensor:
    """The whole command, from nothing, in a process of its own; gives the pixels per class."""
    shutil.rmtree(dst, ignore_errors=True)
    command = [sys.executable, '-c', _COMMAND, of, str(raw), str(dst)]
    more = ['--split', 'train', '--workers', str(workers)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    pixels = json.loads((dst / 'dataset.json').read_text())['splits']['train']['pixels']
    return torch.tensor([pixels.get(str(value), 0) for value in range(256)])


def _beside_cp(raw: Path, folder: Path) -> str:
    """Bytes of images and labels per second of a conversion by all cores, and of ``cp -r``."""
    megabytes = sum(one.stat().st_size for one in raw.rglob('*_*.png')) / 1e6
    found = []
    for way in (
        functools.partial(_convert, raw, folder / 'dst', usable_cores()),
        functools.partial(subprocess.run, ['cp', '-r', raw, folder / 'copy'], check=True),
    ):
        start = time.perf_counter()
        way()
        found.append(megabytes / (time.perf_counter() - start))
    shutil.rmtree(folder / 'copy')
    return (
        f'Cityscapes, {_IMAGES} images and labels, {megabytes:.0f} MB, images linked: '
        f'{found[0]:.0f} MB/s, {_IMAGES * found[0] / megabytes:.0f} images/s; cp -r {found[1]:.0f} '
        'MB/s'
    )


def _decoded(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content))))


def _write_polygons(path: Path, size: tuple[int, int]) -> Path:
    """A scene of overlapping blobs of all labels, as a polygon file of the release."""
    rng = np.random.default_rng(0)
    height, width = size
    labels = [label for label in CITYSCAPES_LABELS if label.id > 0]
    angles = np.linspace(0, 2 * np.pi, 40)
    objects = []
    for k in range(_OBJECTS):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        radius = rng.uniform(0.01, 0.3) * height * rng.uniform(0.7, 1, len(angles))
        xs, ys = x + radius * np.cos(angles), y + radius * np.sin(angles)
        polygon = np.stack([xs, ys], 1).round().astype(int).tolist()
        objects.append({'label': labels[k % len(labels)].name, 'polygon': polygon})
    content = {'imgHeight': height, 'imgWidth': width, 'objects': objects}
    path.write_text(json.dumps(content))
    return path


def _write_own(root: Path, polygons: Path) -> Path:
    """The objects of a scene as a user's own files, the same for every image of both formats."""
    content = json.loads(polygons.read_text())
    size = dict(height=content['imgHeight'], width=content['imgWidth'])
    names = sorted({item['label'] for item in content['objects']})
    shapes = [
        dict(label=item['label'], points=item['polygon'], shape_type='polygon')
        for item in content['objects']
    ]
    for name in ('labelme', 'coco'):
        (root / name).mkdir(parents=True)
    image = Image.new('RGB', (size['width'], size['height']))
    images: list[dict] = []
    annotations: list[dict] = []
    for k in range(_OWN_IMAGES):
        file = f'{k:04}.jpg'
        for name in ('labelme', 'coco'):
            image.save(root / name / file)
        own = dict(imagePath=file, imageHeight=image.height, imageWidth=image.width, shapes=shapes)
        (root / 'labelme' / f'{k:04}.json').write_text(json.dumps(own))
        images.append(dict(id=k, file_name=file, **size))
        for item in content['objects']:
            points = [float(value) for point in item['polygon'] for value in point]
            number = names.index(item['label']) + 1
            found = dict(image_id=k, category_id=number, segmentation=[points], iscrowd=0)
            annotations.append(dict(found, id=len(annotations)))
    categories = [dict(id=k, name=name) for k, name in enumerate(names, 1)]
    coco = dict(images=images, annotations=annotations, categories=categories)
    (root / 'coco' / 'annotations.json').write_text(json.dumps(coco))
    return root


def _make_release(root: Path, label: Path, size: tuple[int, int]) -> Path:
    """The same image and label many times, as the release lays them out."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 1), np.uint8)
    folder = root / 'leftImg8bit/train/aachen'
    gt = root / 'gtFine/train/aachen'
    folder.mkdir(parents=True)
    gt.mkdir(parents=True)
    Image.fromarray(image[..., 0]).save(root / 'image.png', compress_level=1)
    for k in range(_IMAGES):
        stem = f'aachen_{k:06d}_000019'
        shutil.copy(root / 'image.png', folder / f'{stem}_leftImg8bit.png')
        shutil.copy(label, gt / f'{stem}_gtFine_labelIds.png')
    return root
