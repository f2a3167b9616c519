"""Samples as a network sees them: after the pipeline, its crops and the data preprocessor.

Shown on a page that loads nothing from elsewhere, or as images.
"""

import copy
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from openseg_plugin.converters.datasets.core.pairs import class_palette
from openseg_plugin.data_checks.perceptual_hash import to_gray
from openseg_plugin.data_checks.report.html_report import data_url
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import DATASETS, MODELS
from openseg_plugin.report import PAGE, page
from openseg_plugin.report.drawing import OVERLAY, blend, class_colors, hatch
from openseg_plugin.utils import files
from openseg_plugin.utils.random_state import preserve_rng_state


class Part(NamedTuple):
    """What some of the pixels of a label are.

    Attributes:
        name: of their class; 'ignored'; the value where no class has it.
        fraction: of all pixels.
        color: as a page writes it; None: ignored pixels, which have a pattern.
    """

    name: str
    fraction: float
    color: str | None


@dataclass(frozen=True)
class Sample:
    """One sample, ready to be shown.

    Attributes:
        name: path of its image.
        image: (H, W, 3) uint8 RGB, as the network gets it.
        label: (H, W) uint8 train ids; None in splits without labels.
        classes: what the label shows, the most frequent first.
    """

    name: str
    image: np.ndarray
    label: np.ndarray | None
    classes: tuple[Part, ...] = ()


class Browser:
    """Samples of one split of a config.

    Args:
        cfg: the config.
        split: train, val or test.
        name: of the config, for messages.

    Raises:
        ConfigError: the config has no such split.
        DataError: files are missing.
    """

    def __init__(self, cfg: Config, *, split: str, name: str) -> None:
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            raise ConfigError(f'config {name} has no {split}_dataloader: choose another --split')
        self.is_train = split == 'train'
        self.dataset = DATASETS.build(copy.deepcopy(loader.dataset))
        settings = (cfg.get('model') or {}).get('data_preprocessor') or cfg.get('data_preprocessor')
        self.preprocessor = None if settings is None else MODELS.build(copy.deepcopy(settings))
        info = self.dataset.metainfo
        self.classes = tuple(info.get('classes') or ())
        ignored = getattr(self.dataset, 'ignore_index', None)
        self.ignore_index = 255 if ignored is None else int(ignored)
        self._palette = info.get('palette') or class_palette(max(len(self.classes), 1))

    def samples(self, number: int, *, seed: int) -> Iterator[Sample]:
        """Some samples, chosen and augmented by the seed alone.

        Args:
            number: how many; no sample comes twice.
            seed: equal seeds give equal samples.
        """
        order = np.random.default_rng(seed).permutation(len(self.dataset))[:number]
        for index in order.tolist():
            with preserve_rng_state():
                random.seed(seed + index)
                np.random.seed(seed + index)
                torch.manual_seed(seed + index)
                packed = self.dataset[index]
            yield from self._views(packed)

    def overlay(self, sample: Sample) -> np.ndarray:
        """Image and label together, (H, W, 3) uint8 RGB; ignored pixels are hatched."""
        if sample.label is None:
            return sample.image
        return blend(sample.image, self.drawn(sample.label), opacity=OVERLAY)

    def drawn(self, label: np.ndarray) -> np.ndarray:
        """A label in the colors of its classes, (H, W, 3) uint8 RGB; ignored pixels are hatched."""
        shown = class_colors(label, self._palette)
        hatch(shown, label == self.ignore_index)
        return shown

    def parts(self, pixels: np.ndarray) -> tuple[Part, ...]:
        """What label values stand for, the most frequent first.

        Args:
            pixels: (256,) how many pixels have each value.
        """
        names = {**dict(enumerate(self.classes)), self.ignore_index: 'ignored'}
        colors = class_colors(np.arange(256), self._palette)
        order = np.argsort(-pixels, kind='stable')
        return tuple(
            Part(
                names.get(value, str(value)),
                float(pixels[value] / pixels.sum()),
                None if value == self.ignore_index else '#' + colors[value].tobytes().hex(),
            )
            for value in order[: np.count_nonzero(pixels)].tolist()
        )

    def _views(self, packed: dict) -> Iterator[Sample]:
        """One sample, or one per view where the pipeline makes several (test-time augmentation)."""
        inputs, samples = packed['inputs'], packed['data_samples']
        if not isinstance(inputs, Sequence):
            inputs, samples = [inputs], [samples]
        for image, sample in zip(inputs, samples):
            yield self._sample(image, copy.deepcopy(sample))

    def _sample(self, image: torch.Tensor, sample: Any) -> Sample:
        data = {'inputs': [image], 'data_samples': [sample]}
        mean = std = None
        is_rgb = False
        if self.preprocessor is not None:
            with torch.no_grad():
                data = self.preprocessor(data, self.is_train)
            mean, std = (getattr(self.preprocessor, name, None) for name in ('mean', 'std'))
            is_rgb = bool(
                getattr(self.preprocessor, 'channel_conversion', False)
                or getattr(self.preprocessor, 'swap_channels', False)
            )
        shown = data['inputs'][0].float()
        if mean is not None and std is not None:
            shown = shown * std.reshape(-1, 1, 1) + mean.reshape(-1, 1, 1)
        pixels = shown.permute(1, 2, 0).cpu().numpy()
        found = data['data_samples'][0]
        label = None
        if 'gt_sem_seg' in found:
            label = found.gt_sem_seg.data[0].cpu().numpy().astype(np.uint8)
            label = _fitting(label, pixels.shape[:2], self.ignore_index)
        name = str(found.metainfo.get('img_path', ''))
        classes = () if label is None else self.parts(_pixels_of(label))
        return Sample(name, _as_rgb(pixels, is_rgb=is_rgb), label, classes)


def _pixels_of(label: np.ndarray) -> np.ndarray:
    """(256,) pixels of each value."""
    return np.bincount(label.ravel(), minlength=256)


def _fitting(label: np.ndarray, size: tuple[int, ...], value: int) -> np.ndarray:
    """A label as large as its image: what the preprocessor padded has no label in testing."""
    if label.shape == size:
        return label
    fitted = np.full(size, value, np.uint8)
    height, width = min(label.shape[0], size[0]), min(label.shape[1], size[1])
    fitted[:height, :width] = label[:height, :width]
    return fitted


def _as_rgb(pixels: np.ndarray, *, is_rgb: bool) -> np.ndarray:
    """(H, W, C) of any range -> (H, W, 3) uint8; other channel counts than 3 are shown in gray."""
    if pixels.shape[2] != 3:
        return np.repeat(to_gray(pixels)[..., None], 3, 2)
    ordered = pixels if is_rgb else pixels[..., ::-1]
    if ordered.max(initial=0) > 511 or ordered.max(initial=0) <= 1:  # not gray levels of 8 bits
        return np.stack([to_gray(ordered[..., k]) for k in range(3)], -1)
    return np.clip(ordered.round(), 0, 255).astype(np.uint8)


def write_page(folder: Path, browser: Browser, samples: Iterable[Sample], *, title: str) -> Path:
    """``index.html`` below the folder, with image, label and overlay of every sample."""
    pixels = np.zeros(256, np.int64)
    shown = []
    for sample in samples:
        shown.append(_figure(browser, sample))
        if sample.label is not None:
            pixels += _pixels_of(sample.label)
    page.write_page(
        folder,
        'browse.html.jinja',
        title=page.readable(title),
        classes=browser.parts(pixels),
        samples=shown,
        opacity=OVERLAY,
    )
    return folder / PAGE


def write_images(folder: Path, browser: Browser, samples: Iterable[Sample], *, title: str) -> Path:
    """One PNG per sample below the folder: image and overlay side by side."""
    del title
    for number, sample in enumerate(samples):
        stem = Path(sample.name).stem or 'sample'
        row = np.concatenate([sample.image, browser.overlay(sample)], 1)
        files.write_bytes(folder / f'{number:03d}_{stem}.png', _png(row))
    return folder


def _figure(browser: Browser, sample: Sample) -> dict:
    """What the template shows of a sample."""
    images = [('image', sample.image)]
    if sample.label is not None:
        images += [('label', browser.drawn(sample.label)), ('overlay', browser.overlay(sample))]
    height, width = sample.image.shape[:2]
    return {
        'name': page.readable(sample.name),
        'height': height,
        'width': width,
        'images': [(what, data_url(image, lossless=True)) for what, image in images],
        'classes': sample.classes,
    }


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
