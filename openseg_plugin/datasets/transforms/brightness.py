"""The only photometric change of openseg's recipes."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from openseg_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomBrightness(BaseTransform):
    """Adds one random integer to all channels of the 8-bit picture, clipped to 0..255.

    Args:
        shift: largest shift either way, in grey levels; uniform over -shift .. shift.
    """

    def __init__(self, *, shift: int = 10) -> None:
        self.shift = shift

    @cache_randomness
    def _draw(self) -> int:
        return int(np.random.randint(-self.shift, self.shift + 1))

    def transform(self, results: dict) -> dict:
        """Changes img (H, W, 3) uint8."""
        shift = self._draw()
        # OpenCV's sum of uint8 saturates, so this is exact and makes no copy in a wider type.
        results['img'] = cv2.add(results['img'], (shift, shift, shift, 0))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shift={self.shift})'
