"""Transforms of pytorch-cv: sizes follow the shorter side, PIL resizes and blurs.

PIL's bilinear resize averages over the pixels that a smaller one covers, OpenCV's does not, so the
published results need it. Sizes are (H, W).
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image, ImageFilter

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS

_REACH = 4  # standard deviations; pixels beyond weigh less than 1e-3 of the centre


def with_short_side(results: dict, length: int) -> dict:
    """Resizes img (bilinear) and every map in seg_fields (nearest); the other side is cut off."""
    height, width = results['img'].shape[:2]
    if width > height:
        size = (length, int(width * length / height))
    else:
        size = (int(height * length / width), length)
    for key in ('img', *results.get('seg_fields', ())):
        method = Image.BILINEAR if key == 'img' else Image.NEAREST
        results[key] = _resized(results[key], size[::-1], method)
    results['img_shape'] = size
    results['scale'] = size[::-1]
    results['scale_factor'] = (size[1] / width, size[0] / height)
    results['keep_ratio'] = True
    return results


def _resized(maps: np.ndarray, size: tuple[int, int], method: Image.Resampling) -> np.ndarray:
    """An image or label at ``size`` (width, height); PIL takes other channels one by one."""
    if maps.ndim == 2 or (maps.shape[2] == 3 and maps.dtype == np.uint8):
        kept = maps if maps.dtype != np.uint16 else maps.astype(np.int32)
        return np.array(Image.fromarray(kept).resize(size, method)).astype(maps.dtype)
    return np.stack([_resized(maps[..., k], size, method) for k in range(maps.shape[2])], -1)


@TRANSFORMS.register_module()
class ShortSideCenterCrop(BaseTransform):
    """The protocol ``val (crop)``: short side at ``size``, then the square in the middle.

    The labels are resized and cut too, and the square counts as the original image, so that
    metrics compare at its size. Labels must have been read before.

    Args:
        size: pixels. None leaves the image as it is: the protocol ``val``.

    Raises:
        ConfigError: ``size`` is not positive.
    """

    def __init__(self, *, size: int | None) -> None:
        if size is not None and size < 1:
            raise ConfigError(f'ShortSideCenterCrop has size={size}: give pixels, or None')
        self.size = size

    def transform(self, results: dict) -> dict:
        """Resizes and cuts img and every map in seg_fields; sets ori_shape."""
        if self.size is None:
            return results
        results = with_short_side(results, self.size)
        top, left = (round((side - self.size) / 2) for side in results['img_shape'])
        window = np.s_[top : top + self.size, left : left + self.size]
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = np.ascontiguousarray(results[key][window])
        results['img_shape'] = results['ori_shape'] = (self.size, self.size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


@TRANSFORMS.register_module()
class RandomShortSide(BaseTransform):
    """Makes the shorter side a random whole number of pixels, all equally likely.

    Args:
        base_size: pixels.
        scale_range: the side lies between these multiples of ``base_size``.

    Raises:
        ConfigError: the range is empty or reaches 0.
    """

    def __init__(self, *, base_size: int, scale_range: tuple[float, float] = (0.5, 2.0)) -> None:
        low, high = (int(base_size * factor) for factor in scale_range)
        if not 0 < low <= high:
            raise ConfigError(
                f'RandomShortSide has base_size={base_size} and scale_range={tuple(scale_range)}: '
                'it needs 0 < smallest <= largest'
            )
        self.sides = (low, high)

    @cache_randomness
    def _draw(self) -> int:
        return int(np.random.randint(self.sides[0], self.sides[1] + 1))

    def transform(self, results: dict) -> dict:
        """Resizes img and every map in seg_fields."""
        return with_short_side(results, self._draw())

    def __repr__(self) -> str:
        return f'{type(self).__name__}(sides={self.sides})'


@TRANSFORMS.register_module()
class RandomBlur(BaseTransform):
    """Blurs the image by a Gaussian of random radius.

    Args:
        prob: fraction of images that are blurred, 0 to 1.
        radius_range: standard deviation in pixels, smallest and largest; uniform.
        exact: weigh pixels by the Gaussian itself; PIL and the zoo approximate it by boxes.

    Raises:
        ConfigError: no share, or no range.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        radius_range: Sequence[float] = (0.0, 1.0),
        exact: bool = False,
    ) -> None:
        if not 0 <= prob <= 1 or not 0 <= radius_range[0] <= radius_range[1]:
            raise ConfigError(
                f'RandomBlur has prob={prob} and radius_range={tuple(radius_range)}: it needs '
                '0 <= prob <= 1 and 0 <= smallest <= largest'
            )
        self.prob = prob
        self.radius_range = tuple(radius_range)
        self.exact = exact

    @cache_randomness
    def _draw(self) -> float | None:
        return np.random.uniform(*self.radius_range) if np.random.rand() < self.prob else None

    def transform(self, results: dict) -> dict:
        """Blurs img."""
        radius = self._draw()
        is_plain = results['img'].dtype == np.uint8 and results['img'].shape[2:] == (3,)
        if radius is not None and (self.exact or not is_plain):
            side = 2 * math.ceil(_REACH * radius) + 1
            blurred = cv2.GaussianBlur(
                results['img'], (side, side), radius, borderType=cv2.BORDER_REPLICATE
            )
            results['img'] = blurred.reshape(results['img'].shape)
        elif radius is not None:
            soft = Image.fromarray(results['img']).filter(ImageFilter.GaussianBlur(radius))
            results['img'] = np.array(soft)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, radius_range={self.radius_range}, '
            f'exact={self.exact})'
        )
