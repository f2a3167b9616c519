"""Resizing of image and label together, as openseg trains: cubic images, nearest labels.

Sizes are (H, W). Keys that a transform adds follow mmcv: scale (W, H), scale_factor (w, h).
"""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS

INTERPOLATIONS = {'cubic': cv2.INTER_CUBIC, 'bilinear': cv2.INTER_LINEAR}


def resize_sample(
    results: dict, height: int, width: int, *, interpolation: str, with_labels: bool = True
) -> dict:
    """Resizes img by ``interpolation`` and every map in seg_fields by nearest neighbour.

    crop_point (x, y), if there is one, moves along.
    """
    old_height, old_width = results['img'].shape[:2]
    size = (width, height)
    resized = cv2.resize(results['img'], size, interpolation=INTERPOLATIONS[interpolation])
    # OpenCV drops the axis of a single channel
    results['img'] = resized.reshape(*resized.shape[:2], *results['img'].shape[2:])
    for key in results.get('seg_fields', ()) if with_labels else ():
        results[key] = cv2.resize(results[key], size, interpolation=cv2.INTER_NEAREST)
    if 'crop_point' in results:
        x, y = results['crop_point']
        results['crop_point'] = (x * width // old_width, y * height // old_height)
    results['img_shape'] = (height, width)
    results['scale'] = size
    results['scale_factor'] = (width / old_width, height / old_height)
    results['keep_ratio'] = False
    return results


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
        return scale, np.random.uniform(*self.aspect_range)

    def transform(self, results: dict) -> dict:
        """Resizes img and seg_fields; at least one pixel remains."""
        scale, aspect = self._draw()
        height, width = results['img'].shape[:2]
        return resize_sample(
            results,
            # the small addend undoes rounding noise such as 0.1 * 10 = 0.9999...
            max(int(height * scale / aspect**0.5 + 1e-6), 1),
            max(int(width * scale * aspect**0.5 + 1e-6), 1),
            interpolation=self.interpolation,
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
