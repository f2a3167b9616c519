"""Samples as a network sees them: after the pipeline, its crops and the data preprocessor.

Shown on a page that loads nothing from elsewhere, or as images.
"""

import base64
import copy
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from openseg_plugin.config.loading import load_config
from openseg_plugin.converters.datasets.core.pairs import class_palette
from openseg_plugin.data_checks.perceptual_hash import to_grey
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import DATASETS, MODELS
from openseg_plugin.utils import files
from openseg_plugin.utils.random_state import preserve_rng_state

_IGNORED = (128, 128, 128)
_SHARE = 0.5  # of the label in the overlay


@dataclass(frozen=True)
class Sample:
    """One sample, ready to be shown.

    Attributes:
        name: path of its image.
        image: (H, W, 3) uint8 RGB, as the network gets it.
        label: (H, W) uint8 train ids; None in splits without labels.
        classes: names of the classes that the label shows, with their fraction of the pixels.
    """

    name: str
    image: np.ndarray
    label: np.ndarray | None
    classes: tuple[tuple[str, float], ...] = ()


class Browser:
    """Samples of one split of a config.

    Args:
        config: a file, or the name of one of ours.
        split: train, val or test.
        options: dotted settings to change in the config.

    Raises:
        ConfigError: the config cannot be read or has no such split.
        DataError: files are missing.
    """

    def __init__(self, config: str, *, split: str, options: dict[str, Any] | None = None) -> None:
        cfg = load_config(config, options=options)
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            raise ConfigError(f'config {config} has no {split}_dataloader: choose another --split')
        self.is_train = split == 'train'
        self.dataset = DATASETS.build(copy.deepcopy(loader.dataset))
        settings = (cfg.get('model') or {}).get('data_preprocessor') or cfg.get('data_preprocessor')
        self.preprocessor = None if settings is None else MODELS.build(copy.deepcopy(settings))
        info = self.dataset.metainfo
        self.classes = tuple(info.get('classes') or ())
        self.ignore_index = int(getattr(self.dataset, 'ignore_index', 255) or 255)
        colors = info.get('palette') or class_palette(max(len(self.classes), 1))
        self._colors = np.full((256, 3), _IGNORED, np.uint8)
        self._colors[: len(colors)] = np.asarray(colors, np.uint8)[:256]
        self._colors[self.ignore_index] = _IGNORED

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
        """Image and label together, (H, W, 3) uint8 RGB; ignored pixels are grey."""
        if sample.label is None:
            return sample.image
        drawn = self.drawn(sample.label)
        mixed = (1 - _SHARE) * sample.image + _SHARE * drawn
        return mixed.round().astype(np.uint8)

    def drawn(self, label: np.ndarray) -> np.ndarray:
        """A label in the colors of its classes, (H, W, 3) uint8 RGB."""
        return self._colors[label]

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
        return Sample(name, _as_rgb(pixels, is_rgb=is_rgb), label, self._fractions(label))

    def _fractions(self, label: np.ndarray | None) -> tuple[tuple[str, float], ...]:
        if label is None:
            return ()
        values, pixels = np.unique(label, return_counts=True)
        names = {self.ignore_index: 'ignored', **dict(enumerate(self.classes))}
        order = np.argsort(-pixels)
        return tuple(
            (names.get(int(values[k]), str(values[k])), float(pixels[k] / label.size))
            for k in order
        )


def _fitting(label: np.ndarray, size: tuple[int, ...], value: int) -> np.ndarray:
    """A label as large as its image: what the preprocessor padded has no label in testing."""
    if label.shape == size:
        return label
    fitted = np.full(size, value, np.uint8)
    height, width = min(label.shape[0], size[0]), min(label.shape[1], size[1])
    fitted[:height, :width] = label[:height, :width]
    return fitted


def _as_rgb(pixels: np.ndarray, *, is_rgb: bool) -> np.ndarray:
    """(H, W, C) of any range -> (H, W, 3) uint8; other channel counts than 3 are shown in grey."""
    if pixels.shape[2] != 3:
        return np.repeat(to_grey(pixels)[..., None], 3, 2)
    ordered = pixels if is_rgb else pixels[..., ::-1]
    if ordered.max(initial=0) > 511 or ordered.max(initial=0) <= 1:  # not grey levels of 8 bits
        return np.stack([to_grey(ordered[..., k]) for k in range(3)], -1)
    return np.clip(ordered.round(), 0, 255).astype(np.uint8)


_STYLE = """
body{font:15px/1.45 sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}
figure{margin:1.2em 0;display:flex;flex-wrap:wrap;gap:6px}
img{max-width:32%;border:1px solid #999;image-rendering:auto}
figcaption{flex-basis:100%;font-size:13px;color:#444;overflow-wrap:anywhere}
"""


def write_page(folder: Path, browser: Browser, samples: Iterable[Sample], *, title: str) -> Path:
    """``index.html`` below the folder, with image, label and overlay of every sample."""
    shown = [_figure(browser, sample) for sample in samples]
    page = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f'<title>{escape(title)}</title><style>{_STYLE}</style></head><body>',
        f'<h1>{escape(title)}</h1>',
        '<p>As the network gets them: after the pipeline and the data preprocessor, brought back '
        'to grey levels. Padding has the mean color; ignored pixels are grey.</p>',
        *shown,
        '</body></html>\n',
    ]
    path = folder / 'index.html'
    files.write_text(path, '\n'.join(page))
    return path


def write_images(folder: Path, browser: Browser, samples: Iterable[Sample], *, title: str) -> Path:
    """One PNG per sample below the folder: image and overlay side by side."""
    del title
    for number, sample in enumerate(samples):
        stem = Path(sample.name).stem or 'sample'
        row = np.concatenate([sample.image, browser.overlay(sample)], 1)
        files.write_bytes(folder / f'{number:03d}_{stem}.png', _png(row))
    return folder


def _figure(browser: Browser, sample: Sample) -> str:
    images = [('image', sample.image)]
    if sample.label is not None:
        images += [('label', browser.drawn(sample.label)), ('overlay', browser.overlay(sample))]
    tags = ''.join(
        f'<img alt="{what}" title="{what}" src="data:image/png;base64,'
        f'{base64.b64encode(_png(image)).decode()}">'
        for what, image in images
    )
    fractions = ', '.join(
        f'{escape(name)} {100 * fraction:.1f} %' for name, fraction in sample.classes
    )
    height, width = sample.image.shape[:2]
    caption = f'{escape(sample.name)} ({width}x{height}){": " if fractions else ""}{fractions}'
    return f'<figure>{tags}<figcaption>{caption}</figcaption></figure>'


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
