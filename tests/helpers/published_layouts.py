"""State dicts as the original projects save them, made of numbers that cost no memory.

Names and shapes of openseg and HRNet-OCR are those of the stored results; what is derived from
them is said there.
"""

from collections.abc import Iterable
from functools import cache

import fixture_files
import numpy as np
import torch
from parity import catalog, stored

HRNET_WIDTH = 48
HRNET_OCR_HEADS = ('conv3x3_ocr', 'ocr_distri_head', 'cls_head', 'aux_head')


def fill(shape: Iterable[int], number: float = 1.0) -> np.ndarray:
    return np.broadcast_to(np.float32(number), tuple(shape))


def network(family: str, name: str) -> dict[str, np.ndarray]:
    """The state dict of a stored result."""
    return {key: fill(shape) for key, shape in _layout(family, name)}


@cache
def _layout(family: str, name: str) -> list[tuple[str, tuple[int, ...]]]:
    # a given folder may hold other things; the layouts are then those of our own files
    own = fixture_files.DEFAULT / family / f'{name}.npz'
    fixture = stored.read(catalog.files().get((family, name), own), family)
    return [(key, tuple(shape)) for key, shape, _ in fixture.keys]


def openseg_ocr() -> dict[str, np.ndarray]:
    """``hrnet_w48_ocr`` with in-place ABN."""
    return network('openseg', 'hrnet_w48_ocr_iabn')


def openseg_ocr_nested() -> dict[str, np.ndarray]:
    """The same with BatchNorm: norms of heads one level deeper, counters everywhere."""
    flat, nested = openseg_ocr(), {}
    for key, value in flat.items():
        module, entry = key.rsplit('.', 1)
        is_norm = f'{module}.running_mean' in flat
        if is_norm and not key.startswith('backbone.'):
            module = f'{module}.0'
        nested[f'{module}.{entry}'] = value
        if entry == 'running_var':
            nested[f'{module}.num_batches_tracked'] = np.array(7)
    return nested


def openseg_r101() -> dict[str, np.ndarray]:
    """``spatial_ocrnet`` with BatchNorm."""
    return network('openseg', 'spatial_ocrnet')


def hrnet_ocr() -> dict[str, np.ndarray]:
    """``seg_hrnet_ocr`` for LIP, 20 classes."""
    return network('hrnet_ocr', 'seg_hrnet_ocr_w48_lip')


def hrnet_plain(num_classes: int = 19) -> dict[str, np.ndarray]:
    """``seg_hrnet``: the backbone of ``seg_hrnet_ocr`` with ``last_layer`` instead of its heads."""
    weights = {k: v for k, v in hrnet_ocr().items() if not k.startswith(HRNET_OCR_HEADS)}
    width = 15 * HRNET_WIDTH
    head = {'0.weight': (width, width, 1, 1), '0.bias': (width,)}
    head |= {f'1.{k}': (width,) for k in ('weight', 'bias', 'running_mean', 'running_var')}
    head |= {'3.weight': (num_classes, width, 1, 1), '3.bias': (num_classes,)}
    weights |= {f'last_layer.{k}': fill(shape) for k, shape in head.items()}
    weights['last_layer.1.num_batches_tracked'] = np.zeros((), np.int64)
    return weights


def hrnet_imagenet() -> dict[str, np.ndarray]:
    """HRNetV2 trained on ImageNet: the backbone and the modules of its classification head."""
    weights = {k: v for k, v in hrnet_ocr().items() if not k.startswith(HRNET_OCR_HEADS)}
    head = ('incre_modules.0.0.conv1', 'downsamp_modules.1.0', 'final_layer.0', 'classifier')
    return weights | {f'{name}.weight': fill((2, 2)) for name in head}


def resnet_imagenet() -> dict[str, np.ndarray]:
    """openseg's ResNet-101: stem as ``conv1, bn1, ... bn3``, and ``fc``."""
    prefixes = ('backbone.resinit.', 'backbone.')
    weights = {}
    for key, value in openseg_r101().items():
        for prefix in prefixes:
            if key.startswith(prefix):
                weights[key.removeprefix(prefix)] = value
                break
    return weights | {'fc.weight': fill((1000, 2048)), 'fc.bias': fill((1000,))}


def as_tensors(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The same as tensors that cost no memory where all numbers are equal."""
    return {
        key: torch.tensor(value.flat[0]).expand(value.shape)
        if not any(value.strides)
        else torch.tensor(value)
        for key, value in weights.items()
    }


def with_prefix(prefix: str, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + key: value for key, value in weights.items()}


def without(weights: dict[str, np.ndarray], ending: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in weights.items() if not key.endswith(ending)}


def resized(weights: dict[str, np.ndarray], sizes: dict[int, int]) -> dict[str, np.ndarray]:
    """Every dimension of a size in ``sizes`` gets the other size."""
    return {k: fill(tuple(sizes.get(s, s) for s in v.shape)) for k, v in weights.items()}
