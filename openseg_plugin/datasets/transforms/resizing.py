"""Resizing of image and label together, as openseg trains: cubic images, nearest labels.

Sizes are (H, W). Keys that a transform adds follow mmcv: scale (W, H), scale_factor (w, h).

Transforms of pytorch-cv: sizes follow the shorter side, PIL resizes and blurs.

PIL's bilinear resize averages over the pixels that a smaller one covers, OpenCV's does not, so the
published results need it. Sizes are (H, W).
"""

import math

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image, ImageFilter

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS

INTERPOLATIONS = {'cubic': cv2.INTER_CUBIC, 'bilinear': cv2.INTER_LINEAR}


def resize_sample(
    results: dict, height: int, width: int, *, interpolation: str, with_labels: bool = True
) -> dict:
    """Resizes img by ``interpolation`` and every map in seg_fields by nearest neighbor.

    crop_point (x, y), if there is one, moves along.
    """
    old = results['img'].shape[:2]
    size = (width, height)
    resized = cv2.resize(results['img'], size, interpolation=INTERPOLATIONS[interpolation])
    # OpenCV drops the axis of a single channel
    results['img'] = resized.reshape(*resized.shape[:2], *results['img'].shape[2:])
    for key in results.get('seg_fields', ()) if with_labels else ():
        results[key] = cv2.resize(results[key], size, interpolation=cv2.INTER_NEAREST)
    describe_resize(results, old, (height, width))
    return results


def describe_resize(results: dict, old: tuple[int, int], new: tuple[int, int]) -> None:
    """Says what became of a sample of size ``old`` (H, W); crop_point (x, y) moves along."""
    (old_height, old_width), (height, width) = old, new
    if 'crop_point' in results:
        x, y = results['crop_point']
        results['crop_point'] = (x * width // old_width, y * height // old_height)
    results['img_shape'] = (height, width)
    results['scale'] = (width, height)
    results['scale_factor'] = (width / old_width, height / old_height)
    results['keep_ratio'] = False


def check_interpolation(name: str) -> str:
    """Returns the name, or raises ConfigError for one that is not offered."""
    if name not in INTERPOLATIONS:
        raise ConfigError(f'interpolation is "{name}"; it must be one of {sorted(INTERPOLATIONS)}')
    return name


@TRANSFORMS.register_module()
class RandomResize(BaseTransform):
    """Scales by a random factor s and changes the aspect ratio by a random a.

    Width becomes int(W * s * sqrt(a)), height int(H * s / sqrt(a)).

    Args:
        scale_range: smallest and largest s; uniform.
        scale_step: when given, s is one of smallest, smallest + step, ... (HRNet-OCR: 0.1).
        aspect_range: smallest and largest a; uniform. openseg: (0.9, 1.1).
        interpolation: of the image, 'cubic' (openseg) or 'bilinear' (HRNet-OCR).
    """

    def __init__(
        self,
        *,
        scale_range: tuple[float, float] = (0.5, 2.0),
        scale_step: float | None = None,
        aspect_range: tuple[float, float] = (0.9, 1.1),
        interpolation: str = 'cubic',
    ) -> None:
        for name, (low, high) in (('scale_range', scale_range), ('aspect_range', aspect_range)):
            if not 0 < low <= high:
                raise ConfigError(f'{name} is ({low}, {high}); it needs 0 < smallest <= largest')
        self.scale_range = tuple(scale_range)
        self.scale_step = scale_step
        self.aspect_range = tuple(aspect_range)
        self.interpolation = check_interpolation(interpolation)

    @cache_randomness
    def _draw(self) -> tuple[float, float]:
        """A scale factor and an aspect ratio."""
        low, high = self.scale_range
        if self.scale_step is None:
            scale = np.random.uniform(low, high)
        else:
            steps = int((high - low) / self.scale_step + 1e-6)
            scale = low + self.scale_step * np.random.randint(steps + 1)
        low, high = self.aspect_range
        return scale, np.random.uniform(low, high)

    def transform(self, results: dict) -> dict:
        """Resizes img and seg_fields; at least one pixel remains."""
        height, width = self.draw_size(results['img'].shape[:2])
        return resize_sample(results, height, width, interpolation=self.interpolation)

    def draw_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) that an image of ``size`` (H, W) gets this time."""
        scale, aspect = self._draw()
        height, width = size
        return (
            # the small addend undoes rounding noise such as 0.1 * 10 = 0.9999...
            max(int(height * scale / aspect**0.5 + 1e-6), 1),
            max(int(width * scale * aspect**0.5 + 1e-6), 1),
        )

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(scale_range={self.scale_range}, scale_step={self.scale_step}, '
            f'aspect_range={self.aspect_range}, interpolation={self.interpolation!r})'
        )


@TRANSFORMS.register_module()
class ShortSideResize(BaseTransform):
    """Makes the shorter side ``length`` pixels long; the other follows, rounded to a pixel.

    Args:
        length: pixels.
        interpolation: of the image, 'cubic' or 'bilinear'.
        with_labels: False leaves the labels alone, for testing: predictions are brought back to
            the size of the file.
    """

    def __init__(
        self, *, length: int, interpolation: str = 'cubic', with_labels: bool = True
    ) -> None:
        self.length = length
        self.interpolation = check_interpolation(interpolation)
        self.with_labels = with_labels

    def transform(self, results: dict) -> dict:
        """Resizes img and, ``with_labels``, every map in seg_fields."""
        height, width = results['img'].shape[:2]
        scale = self.length / min(height, width)
        return resize_sample(
            results,
            round(height * scale),
            round(width * scale),
            interpolation=self.interpolation,
            with_labels=self.with_labels,
        )

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(length={self.length}, interpolation={self.interpolation!r}, '
            f'with_labels={self.with_labels})'
        )


@TRANSFORMS.register_module()
class ResizeTo(BaseTransform):
    """Gives every image one size, whatever its shape, as openseg does with people and faces.

    Args:
        size: (H, W) in pixels.
        interpolation: of the image, 'cubic' or 'bilinear'.
        with_labels: False leaves the labels alone, for testing: predictions are brought back to
            the size of the file.
        as_original: the image counts as having had this size, so predictions have it too. For
            datasets whose labels are smaller than their images (CelebAMask-HQ); goes before
            the labels are read.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        interpolation: str = 'cubic',
        with_labels: bool = True,
        as_original: bool = False,
    ) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ConfigError(f'ResizeTo has size={size}: give (height, width) in pixels')
        self.size = tuple(size)
        self.interpolation = check_interpolation(interpolation)
        self.with_labels = with_labels
        self.as_original = as_original

    def transform(self, results: dict) -> dict:
        """Resizes img and, ``with_labels``, every map in seg_fields."""
        results = resize_sample(
            results, *self.size, interpolation=self.interpolation, with_labels=self.with_labels
        )
        if self.as_original:
            results['ori_shape'] = self.size
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, interpolation={self.interpolation!r}, '
            f'with_labels={self.with_labels}, as_original={self.as_original})'
        )


_REACH = 4  # standard deviations; pixels beyond weigh less than 1e-3 of the center


def with_short_side(results: dict, length: int) -> dict:
    """Resizes img (bilinear) and every map in seg_fields (nearest); the other side is cut off."""
    height, width = results['img'].shape[:2]
    if width > height:
        size = (length, int(width * length / height))
    else:
        size = (int(height * length / width), length)
    for key in ('img', *results.get('seg_fields', ())):
        method = Image.Resampling.BILINEAR if key == 'img' else Image.Resampling.NEAREST
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
        exact: weigh pixels by the Gaussian itself; PIL and pytorch-cv approximate it by boxes.

    Raises:
        ConfigError: no probability, or no range.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        radius_range: tuple[float, float] = (0.0, 1.0),
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
        low, high = self.radius_range
        return np.random.uniform(low, high) if np.random.rand() < self.prob else None

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
