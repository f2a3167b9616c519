"""Random crop and flip. The crop leaves the padding of small images to the data preprocessor, or
does it; the flip knows left from right.

openseg pads with 0 *after* normalization, that is with the mean color, which no 8-bit image can
hold exactly. So the crop only says where the padding goes (``pad_offset``), and
``openseg_plugin.SegDataPreProcessor`` pads once the image is normalized. NVIDIA and PaddleSeg pad
the image itself, so that whatever changes its colors later changes the padding, too.
"""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS

PAD_MODES = ('random', 'right_down', 'symmetric')
IGNORE = 255


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Cuts a window of at most ``crop_size`` at a uniformly random place.

    With crop_point (x, y) in the sample (:class:`openseg_plugin.ClassUniformSampler`) the window
    contains this pixel: its start is uniform over all that do, then moved into the image.

    Adds pad_offset (top, left): where the crop lies in the padded image.
    :class:`openseg_plugin.PackSegInputs` hands it to the preprocessor (mmseg's packing only where
    ``meta_keys`` names it); without it padding is at the right and bottom.

    Args:
        crop_size: (H, W) of the window; a side that is shorter stays whole.
        pad_mode: 'random' (openseg's default): the padding is split at random between both ends;
            'right_down': all of it at the right and bottom; 'symmetric' (NVIDIA): both ends get
            half of it, rounded down, and one pixel more, then the window is drawn.
        pad_value: gray level, 0 to 255, of all three channels of padding that is made here, with
            the label 255. None leaves it to the preprocessor.

    Raises:
        ConfigError: unknown ``pad_mode``, or a ``pad_value`` that is no gray level.
    """

    def __init__(
        self,
        *,
        crop_size: tuple[int, int],
        pad_mode: str = 'random',
        pad_value: int | None = None,
    ) -> None:
        if pad_mode not in PAD_MODES:
            raise ConfigError(f'pad_mode is "{pad_mode}"; it must be one of {PAD_MODES}')
        if pad_value is not None and pad_value not in range(256):
            raise ConfigError(f'pad_value is {pad_value}; it must be a whole number, 0 to 255')
        self.crop_size = tuple(crop_size)
        self.pad_mode = pad_mode
        self.pad_value = pad_value

    @cache_randomness
    def _draw(
        self, shape: tuple[int, int], point: tuple[int, int] | None = None
    ) -> tuple[list[int], list[int]]:
        """First row and column of the window, rows and columns of padding before it.

        ``shape`` is (H, W) of the image, ``point`` (row, column) of it.
        """
        starts, pads = [], []
        for axis, (side, wanted) in enumerate(zip(shape, self.crop_size)):
            space = max(wanted - side, 0)
            border = space // 2 + 1 if space and self.pad_mode == 'symmetric' else 0
            last = max(side + 2 * border - wanted, 0)
            if point is None:
                start = int(np.random.randint(last + 1))
            else:
                place = point[axis] + border
                start = int(np.random.randint(place - wanted + 1, place + 1))
            start = min(max(start, 0), last)
            if border:
                starts.append(0)
                pads.append(border - start)
            else:
                starts.append(start)
                pads.append(int(np.random.randint(space + 1 if self.pad_mode == 'random' else 1)))
        return starts, pads

    def transform(self, results: dict) -> dict:
        """Crops img and seg_fields, sets img_shape and pad_offset."""
        (top, left), pads = self.draw_place(results, results['img'].shape[:2])
        height, width = self.crop_size
        window = np.s_[top : top + height, left : left + width]
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = results[key][window]
        return self.finish(results, pads)

    def draw_place(self, results: dict, shape: tuple[int, int]) -> tuple[list[int], list[int]]:
        """Start of the window in an image of ``shape`` (H, W), and padding before it.

        Both are (rows, columns). Takes crop_point out of the sample.
        """
        point = results.pop('crop_point', None)
        # (x, y) -> (row, column)
        return self._draw(shape, None if point is None else point[::-1])

    def finish(self, results: dict, pads: Sequence[int]) -> dict:
        """Pads what was cut out, if this transform does that, and says where it lies."""
        if self.pad_value is not None:
            self._pad(results, pads)
            pads = (0, 0)
        results['img_shape'] = results['img'].shape[:2]
        results['pad_offset'] = tuple(pads)
        return results

    def _pad(self, results: dict, pads: Sequence[int]) -> None:
        """Makes img and seg_fields as large as the crop, with ``pads`` (rows, columns) before."""
        for key in ('img', *results.get('seg_fields', ())):
            maps = results[key]
            value = self.pad_value if key == 'img' else IGNORE
            padded = np.full((*self.crop_size, *maps.shape[2:]), value, maps.dtype)
            place = tuple(slice(pad, pad + side) for pad, side in zip(pads, maps.shape))
            padded[place] = maps
            results[key] = padded

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(crop_size={self.crop_size}, pad_mode={self.pad_mode!r}, '
            f'pad_value={self.pad_value})'
        )


def swap_table(pairs: list[list[int]]) -> np.ndarray:
    """(256,) uint8 that exchanges the two ids of every pair and keeps all others."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in pairs:
        table[left], table[right] = right, left
    return table


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirrors image and label left to right; classes in flip_pairs change places.

    ``flip_pairs`` comes from the dataset (:class:`~openseg_plugin.datasets.base.SegDataset`), so
    "left arm" stays the person's left arm.

    Args:
        prob: chance of a flip.
    """

    def __init__(self, *, prob: float = 0.5) -> None:
        self.prob = prob

    @cache_randomness
    def _draw(self) -> bool:
        return bool(np.random.random() < self.prob)

    def transform(self, results: dict) -> dict:
        """Sets flip and flip_direction; changes img, seg_fields, crop_point when it flips."""
        flip = self._draw()
        results['flip'] = flip
        results['flip_direction'] = 'horizontal' if flip else None
        if not flip:
            return results
        results['img'] = np.ascontiguousarray(results['img'][:, ::-1])
        for key in results.get('seg_fields', ()):
            results[key] = np.ascontiguousarray(results[key][:, ::-1])
        if 'crop_point' in results:
            x, y = results['crop_point']
            results['crop_point'] = (results['img'].shape[1] - 1 - x, y)
        pairs = results.get('flip_pairs')
        if pairs and 'gt_seg_map' in results:
            results['gt_seg_map'] = swap_table(pairs)[results['gt_seg_map']]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
