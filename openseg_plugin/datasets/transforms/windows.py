"""The transforms of a pipeline, and of mmseg's, with less work for the same samples.

* Scaling and cutting in one: the window is drawn first, and only what lies under it is scaled.
* The fraction of classes in a crop comes from a histogram instead of from sorted pixels.
* Changes of colors go through tables of 256 values.

The random numbers are those of the transforms, in their order. Labels are the same, and images,
too, but where a window is scaled: a block is scaled that begins where the grids of the original and
of the scaled image (nearly) coincide, with the same factor, so that it holds the pixels that the
whole scaled image would have. Positions differ by less than ``_TOLERANCE`` pixels, gray levels by
at most one.

H, W: size of the image, h, w: of the scaled image, in pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms import RandomResize as MMCVRandomResize
from mmcv.transforms import Resize as MMCVResize
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import PackSegInputs as MMSegPackSegInputs
from mmseg.datasets.transforms import PhotoMetricDistortion as MMSegPhotoMetricDistortion
from mmseg.datasets.transforms import RandomCrop as MMSegRandomCrop
from mmseg.datasets.transforms import Resize as MMSegResize
from numpy import random

from openseg_plugin.datasets.transforms.cropping import RandomCrop
from openseg_plugin.datasets.transforms.loading import PackSegInputs
from openseg_plugin.datasets.transforms.resizing import (
    INTERPOLATIONS,
    RandomResize,
    describe_resize,
)

_TOLERANCE = 1 / 800  # of a pixel of the original: a step from black to white moves by < 1 level
_REACH = 4  # pixels of the original around a block: what cubic interpolation reads, and one more
_WORTH = 0.7  # a block larger than this fraction of the scaled image is no gain


class RandomResizedWindow(BaseTransform):
    """:class:`RandomResize` and :class:`RandomCrop` in one; see the head of this module.

    Args:
        resize: the transform that scales.
        crop: the transform that cuts.
    """

    def __init__(self, resize: RandomResize, crop: RandomCrop) -> None:
        self.resize = resize
        self.crop = crop

    def transform(self, results: dict) -> dict:
        """Changes img, seg_fields and all that the two transforms say of them."""
        old = results['img'].shape[:2]
        new = self.resize.draw_size(old)
        describe_resize(results, old, new)
        start, pads = self.crop.draw_place(results, new)
        size = tuple(min(sides) for sides in zip(self.crop.crop_size, new))
        mode = INTERPOLATIONS[self.resize.interpolation]
        results['img'] = resized_window(results['img'], new, start, size, interpolation=mode)
        grid = tuple(_nearest(*sides) for sides in zip(old, new))
        for key in results.get('seg_fields', ()):
            results[key] = _label_window(results[key], grid, start, size)
        return self.crop.finish(results, pads)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.resize!r}, {self.crop!r})'


class RandomCropByHistogram(MMSegRandomCrop):
    """mmseg's transform; the same windows."""

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """First and last row, first and last column of the window."""
        label: Any = results.get('gt_seg_map')
        return self.draw_box(
            results['img'].shape[:2], lambda box: label[box[0] : box[1], box[2] : box[3]]
        )

    def draw_box(
        self, shape: tuple[int, int], label_in: Callable[[tuple], np.ndarray]
    ) -> tuple[int, int, int, int]:
        """A window in an image of ``shape`` (H, W); ``label_in`` gives the labels in one."""
        box = self._one_box(shape)
        if self.cat_max_ratio < 1.0:
            for _ in range(10):
                counts = cv2.calcHist([label_in(box)], [0], None, [256], [0, 256]).astype(int)
                counts[self.ignore_index :][:1] = 0
                if np.count_nonzero(counts) > 1 and (
                    np.max(counts) / np.sum(counts) < self.cat_max_ratio
                ):
                    break
                box = self._one_box(shape)
        return box

    def _one_box(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        height, width = self.crop_size
        top = random.randint(0, max(shape[0] - height, 0) + 1)
        left = random.randint(0, max(shape[1] - width, 0) + 1)
        return top, top + height, left, left + width


class MMSegResizedWindow(BaseTransform):
    """mmcv's ``RandomResize`` and mmseg's ``RandomCrop`` in one; see the head of this module.

    Args:
        resize: the transform that scales.
        crop: the transform that cuts.
    """

    def __init__(self, resize: MMCVRandomResize, crop: RandomCropByHistogram) -> None:
        self.resize = resize
        self.crop = crop

    def transform(self, results: dict) -> dict:
        """Changes img, gt_seg_map and all that the two transforms say of them."""
        scale = self.resize._random_scale()
        old = results['img'].shape[:2]
        width, height = scale
        if self.resize.resize.keep_ratio:
            width, height = mmcv.rescale_size(old[::-1], scale)
        new = (height, width)
        results.update(
            scale=scale,
            scale_factor=(width / old[1], height / old[0]),
            keep_ratio=self.resize.resize.keep_ratio,
        )
        label: Any = results.get('gt_seg_map')
        grid = tuple(_nearest(*sides) for sides in zip(old, new))
        size = tuple(min(sides) for sides in zip(self.crop.crop_size, new))
        box = self.crop.draw_box(
            new, lambda box: _label_window(label, grid, (box[0], box[2]), size)
        )
        start = (box[0], box[2])
        results['img'] = resized_window(
            results['img'], new, start, size, interpolation=cv2.INTER_LINEAR
        )
        results['img_shape'] = size
        if label is not None:
            results['gt_seg_map'] = _label_window(label, grid, start, size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.resize!r}, {self.crop!r})'


class PhotoMetricDistortionByTable(MMSegPhotoMetricDistortion):
    """mmseg's transform for images of 8 bits; the same images."""

    def convert(self, img: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        """alpha * img + beta, clipped to 0..255 and cut to whole numbers."""
        if img.dtype != np.uint8:
            return super().convert(img, alpha, beta)
        return cv2.LUT(img, super().convert(np.arange(256, dtype=np.uint8), alpha, beta))

    def saturation(self, img: np.ndarray) -> np.ndarray:
        """Half of the time, the saturation times a random factor."""
        if not random.randint(2):
            return img
        factor = random.uniform(self.saturation_lower, self.saturation_upper)
        return self._with_plane(img, 1, super().convert(np.arange(256), factor))

    def hue(self, img: np.ndarray) -> np.ndarray:
        """Half of the time, the hue turned by a random angle."""
        if not random.randint(2):
            return img
        turned = (np.arange(256) + random.randint(-self.hue_delta, self.hue_delta)) % 180
        return self._with_plane(img, 0, turned.astype(np.uint8))

    def _with_plane(self, img: np.ndarray, number: int, table: np.ndarray) -> np.ndarray:
        """The image with one plane of its HSV form put through a table."""
        hsv = cv2.cvtColor(img, cv2.COLOR_BGR2HSV)
        cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, number), table), hsv, number)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def faster(transforms: Sequence[Any], *, exact: bool = False) -> list[Any]:
    """The transforms of a pipeline in forms that do less work.

    Args:
        transforms: that are built; those of other classes stay as they are.
        exact: every bit of the images as before, so whole images are scaled.
    """
    found: list[Any] = []
    for step in transforms:
        if type(step) is MMSegPhotoMetricDistortion:
            step = _as(PhotoMetricDistortionByTable, step)
        elif type(step) is MMSegRandomCrop:
            step = _as(RandomCropByHistogram, step)
        elif type(step) is MMSegPackSegInputs:
            step = _as(PackSegInputs, step)
        before = found[-1] if found and not exact else None
        if type(step) is RandomCrop and type(before) is RandomResize:
            step = RandomResizedWindow(found.pop(), step)
        elif type(step) is RandomCropByHistogram and _scales_plainly(before):
            step = MMSegResizedWindow(found.pop(), step)
        found.append(step)
    return found


def _as(kind: type, step: Any) -> Any:
    """A transform with the settings of ``step``."""
    new: Any = object.__new__(kind)
    new.__dict__.update(step.__dict__)
    return new


def _scales_plainly(step: Any) -> bool:
    """Whether a transform is mmcv's, and scales bilinearly by OpenCV."""
    if type(step) is not MMCVRandomResize:
        return False
    inner = step.resize
    is_known = type(inner) in (MMCVResize, MMSegResize)
    return is_known and (inner.backend, inner.interpolation) == ('cv2', 'bilinear')


def _label_window(
    label: np.ndarray,
    grid: Sequence[np.ndarray],
    start: Sequence[int],
    size: Sequence[int],
) -> np.ndarray:
    """A window of a label that is scaled by nearest neighbor to the positions of ``grid``."""
    rows, columns = (axis[first : first + n] for axis, first, n in zip(grid, start, size))
    return label.take(rows, axis=0).take(columns, axis=1)


def _nearest(old: int, new: int) -> np.ndarray:
    """(new,) index of the pixel that OpenCV's nearest neighbor takes, along one axis."""
    ramp = np.arange(old, dtype=np.int32)[None]
    return cv2.resize(ramp, (new, 1), interpolation=cv2.INTER_NEAREST)[0]


def resized_window(
    image: np.ndarray,
    new: tuple[int, int],
    start: Sequence[int],
    size: Sequence[int],
    *,
    interpolation: int,
) -> np.ndarray:
    """``cv2.resize(image, new)[start : start + size]``, up to one gray level.

    Args:
        image: (H, W) or (H, W, C).
        new: (h, w) of the scaled image.
        start: first row and column of the window.
        size: rows and columns of the window.
        interpolation: OpenCV's number of the cubic or the bilinear one.
    """
    rows, columns = (_block(*axis) for axis in zip(image.shape[:2], new, start, size))
    if rows is not None and columns is not None:
        height, width = (
            first + length - block[0] for block, first, length in zip((rows, columns), start, size)
        )
        if height * width < _WORTH * new[0] * new[1]:
            # the factors are given: those of the block's own size differ in the last digits
            factors = dict(fx=new[1] / image.shape[1], fy=new[0] / image.shape[0])
            block = image[rows[1] : rows[2], columns[1] : columns[2]]
            scaled = cv2.resize(block, None, **factors, interpolation=interpolation)
            start = (start[0] - rows[0], start[1] - columns[0])
            return _cut(scaled, start, size, image)
    return _cut(cv2.resize(image, new[::-1], interpolation=interpolation), start, size, image)


def _cut(
    scaled: np.ndarray, start: Sequence[int], size: Sequence[int], image: np.ndarray
) -> np.ndarray:
    window = scaled[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]
    return window.reshape(*size, *image.shape[2:])  # OpenCV drops the axis of one channel


def _block(old: int, new: int, start: int, length: int) -> tuple[int, int, int] | None:
    """Along one axis: where the scaled block begins, and begin and end of the original's part.

    None where no place near the window is close enough to both grids.
    """
    factor = old / new
    places = np.arange(start, -1, -1)
    positions = places * factor
    apart = np.abs(positions - np.rint(positions))
    # the pixels before the window that interpolation reads belong to the block, too
    margin = int(np.ceil(_REACH / factor)) if start else 0
    fitting = np.flatnonzero((apart < _TOLERANCE) & ((start - places >= margin) | (places == 0)))
    if not fitting.size:
        return None
    begin = int(places[fitting[0]])
    # one pixel of the scaled image more: the size of the block is rounded
    last = min(old, int(np.ceil((start + length + 1) * factor)) + _REACH)
    return begin, int(np.rint(begin * factor)), last
