"""Loading of training samples: mmseg's dataset and pipeline beside ours, without and with a cache.

Samples of drawn Cityscapes size are written as PNG files; what is measured is what a loading
process does for one batch of :data:`BATCH` samples. ``street`` are the steps of mmseg's Cityscapes
configs on both sides, ``openseg`` openseg's own, which mmseg has to do with more general steps.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope

from benchmarks.core import Case, Difference, Setting, exactly
from openseg_plugin.datasets.cache import Store, fill, pipelines, use
from openseg_plugin.datasets.transforms.windows import faster
from openseg_plugin.registry import DATASETS

BATCH = 4
_CROP = (512, 1024)
_LEVELS = 10  # one level before contrast, saturation and hue are changed


def cases(setting: Setting) -> Iterator[Case]:
    """Samples of ours without a cache, with one, and with windows as well, beside mmseg's."""
    init_default_scope('mmseg')
    root = Path(tempfile.mkdtemp(prefix='openseg_data_'))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    _write(root, setting)
    crop = tuple(min(sides) for sides in zip(_CROP, setting.size))
    for name, scale, steps in (
        ('street', _of_mmseg(setting), _steps_of_mmseg(crop)),
        ('openseg', _of_openseg(), _steps_of_openseg(crop)),
    ):
        stock = _dataset(root, setting, 'BaseSegDataset', scale, steps, loads='LoadAnnotations')
        for kind, gate in (('', 1.2), ('cache', 5.0), ('cache windows', 7.0)):
            ours = _ours(root, setting, scale, steps, kind)
            yield Case(
                ' '.join(('data', name, kind)).strip(),
                partial(_batch, stock, seed=0),
                partial(_batch, ours, seed=0),
                exactly if kind == 'cache' else _nearly,
                gate if name == 'street' else None,
            )


def _ours(root: Path, setting: Setting, scale: dict, steps: list[dict], kind: str) -> Any:
    ours = _dataset(
        root,
        setting,
        'openseg_plugin.SegDataset',
        scale,
        steps,
        loads='openseg_plugin.LoadLabels',
    )
    for pipeline in pipelines(ours):
        pipeline.transforms = faster(pipeline.transforms, exact=kind == 'cache')
    if kind:
        folder = root / 'decoded'
        folder.mkdir(exist_ok=True)
        fill([ours], str(folder), in_memory=False)
        use(ours, Store(str(folder)))
    return ours


def _write(root: Path, setting: Setting) -> None:
    """PNG files with the texture of photos, and labels in areas."""
    height, width = setting.size
    generator = np.random.default_rng(0)
    for folder in ('image', 'label'):
        (root / folder).mkdir()
    for k in range(BATCH):
        image = np.zeros((height, width, 3), np.uint8)
        for step, strength in ((64, 160), (8, 60), (1, 12)):
            shape = (-(-height // step), -(-width // step), 3)
            noise = generator.integers(0, strength, shape, dtype=np.uint8)
            image = cv2.add(image, cv2.resize(noise, (width, height)))
        areas = generator.integers(0, setting.classes, (9, 17), dtype=np.uint8)
        label = cv2.resize(areas, (width, height), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(root / 'image' / f'{k}.png'), image)
        cv2.imwrite(str(root / 'label' / f'{k}.png'), label)


def _dataset(
    root: Path, setting: Setting, kind: str, scale: dict, steps: list[dict], *, loads: str
) -> Any:
    return DATASETS.build(
        dict(
            type=kind,
            metainfo=dict(classes=[str(k) for k in range(setting.classes)]),
            data_root=str(root),
            data_prefix=dict(img_path='image', seg_map_path='label'),
            img_suffix='.png',
            pipeline=[dict(type='LoadImageFromFile'), dict(type=loads), scale, *steps],
        )
    )


def _of_mmseg(setting: Setting) -> dict:
    height, width = setting.size
    ratios = (0.5, 2.0)
    return dict(type='RandomResize', scale=(width, height), ratio_range=ratios, keep_ratio=True)


def _steps_of_mmseg(crop: tuple[int, ...]) -> list[dict]:
    return [
        dict(type='RandomCrop', crop_size=crop, cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]


def _of_openseg() -> dict:
    return dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 2.0))


def _steps_of_openseg(crop: tuple[int, ...]) -> list[dict]:
    return [
        dict(type='openseg_plugin.RandomCrop', crop_size=crop),
        dict(type='openseg_plugin.RandomFlip', prob=0.5),
        dict(type='openseg_plugin.RandomBrightness', shift=10),
        dict(type='openseg_plugin.PackSegInputs'),
    ]


def _batch(dataset: Any, *, seed: int) -> list[torch.Tensor]:
    """Images and labels of one sample per file, with the same random numbers every time."""
    np.random.seed(seed)
    samples = [dataset[k] for k in range(BATCH)]
    images = [sample['inputs'] for sample in samples]
    return images + [sample['data_samples'].gt_sem_seg.data for sample in samples]


def _nearly(stock: list[torch.Tensor], ours: list[torch.Tensor]) -> Difference:
    """Labels equal; images up to one gray level, which changes of colors make larger."""
    images = exactly(stock[:BATCH], ours[:BATCH])
    labels = exactly(stock[BATCH:], ours[BATCH:])
    is_equal = labels.is_equal and images.max_error <= _LEVELS
    return Difference(images.differing + labels.differing, images.max_error, is_equal)
