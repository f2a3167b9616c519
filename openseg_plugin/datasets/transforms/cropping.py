"""Random crop that leaves the padding of small pictures to the data preprocessor.

openseg pads with 0 *after* normalisation, that is with the mean colour, which no 8-bit picture can
hold exactly. So the crop only says where the padding goes (``pad_offset``), and
``openseg_plugin.SegDataPreProcessor`` pads once the picture is normalised.
"""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS

PAD_MODES = ('random', 'right_down')


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Cuts a window of at most ``crop_size`` at a uniformly random place.

    With crop_point (x, y) in the sample (:class:`openseg_plugin.ClassUniformSampler`) the window
    contains this pixel: its start is uniform over all that do, then moved into the picture.

    Adds pad_offset (top, left): where the crop lies in the padded picture. Pack it with
    ``meta_keys`` for the preprocessor to see it; without it padding is at the right and bottom.

    Args:
        crop_size: (H, W) of the window; a side that is shorter stays whole.
        pad_mode: 'random' (openseg's default): the padding is split at random between both ends;
            'right_down': all of it at the right and bottom.
    """

    def __init__(self, *, crop_size: tuple[int, int], pad_mode: str = 'random') -> None:
        if pad_mode not in PAD_MODES:
            raise ConfigError(f'pad_mode is "{pad_mode}"; it must be one of {PAD_MODES}')
        self.crop_size = tuple(crop_size)
        self.pad_mode = pad_mode

    @cache_randomness
    def _draw(
        self, shape: tuple[int, int], point: tuple[int, int] | None = None
    ) -> tuple[list[int], list[int]]:
        """First row and column of the window, rows and columns of padding before it.

        ``shape`` is (H, W) of the picture, ``point`` (row, column) of it.
        """
        starts, pads = [], []
        for axis, (side, wanted) in enumerate(zip(shape, self.crop_size)):
            last = max(side - wanted, 0)
            if point is None:
                start = int(np.random.randint(last + 1))
            else:
                start = int(np.random.randint(point[axis] - wanted + 1, point[axis] + 1))
            starts.append(min(max(start, 0), last))
            space = max(wanted - side, 0) if self.pad_mode == 'random' else 0
            pads.append(int(np.random.randint(space + 1)))
        return starts, pads

    def transform(self, results: dict) -> dict:
        """Crops img and seg_fields, sets img_shape and pad_offset."""
        point = results.pop('crop_point', None)
        point = None if point is None else point[::-1]  # (x, y) -> (row, column)
        (top, left), pads = self._draw(results['img'].shape[:2], point)
        height, width = self.crop_size
        window = np.s_[top : top + height, left : left + width]
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = results[key][window]
        results['img_shape'] = results['img'].shape[:2]
        results['pad_offset'] = tuple(pads)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop_size={self.crop_size}, pad_mode={self.pad_mode!r})'
