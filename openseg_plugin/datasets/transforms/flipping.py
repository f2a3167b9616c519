"""Flipping that knows left from right."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from openseg_plugin.registry import TRANSFORMS


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
