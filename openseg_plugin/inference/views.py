"""Pictures at several scales for test-time augmentation: one decode, one resize per scale.

mmseg's ``TestTimeAug`` copies the sample, resizes, mirrors, decodes the label and packs once for
every scale and direction. Here the picture is read and the label decoded once, every scale is
resized once by the same function, and mirroring is left to the model
(:class:`openseg_plugin.MultiScaleFlip`). The network's inputs are the same bytes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Resize
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS

META_KEYS = (
    'img_path',
    'seg_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'reduce_zero_label',
    'flip_pairs',
)


@TRANSFORMS.register_module()
class MultiScaleViews(BaseTransform):
    """Adds ``views``, one dict per ratio with ``img``, ``img_shape`` and ``scale_factor``.

    Needs ``img``; the label is not touched: predictions are compared at the original size.

    Args:
        ratios: sizes relative to the picture, or to ``scale``.
        scale: (width, height) that a ratio of 1 fits the picture into, keeping its shape; None:
            the picture's own size.

    Raises:
        ConfigError: no ratio, or one that is not above 0.
    """

    def __init__(self, *, ratios: Sequence[float], scale: tuple[int, int] | None = None) -> None:
        if not ratios or min(ratios) <= 0:
            raise ConfigError(f'MultiScaleViews has ratios={ratios}: give numbers above 0')
        self.ratios = tuple(ratios)
        self.scale = scale
        self.resizes = [self._resize(float(ratio)) for ratio in ratios]

    def _resize(self, ratio: float) -> Resize:
        if self.scale is None:
            return Resize(scale_factor=ratio, keep_ratio=True)
        width, height = self.scale
        return Resize(scale=(int(width * ratio), int(height * ratio)), keep_ratio=True)

    def transform(self, results: dict) -> dict:
        """Resizes ``img`` (H, W, 3) once per ratio."""
        results['views'] = [resize({'img': results['img']}) for resize in self.resizes]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ratios={self.ratios}, scale={self.scale})'


@TRANSFORMS.register_module()
class PackMultiScaleInputs(BaseTransform):
    """Packs the views: ``inputs``, a list of (3, h, w) uint8, and one data sample for each.

    The label goes with the first sample only.

    Args:
        meta_keys: what becomes metainfo of every sample, where it is there.
    """

    def __init__(self, *, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Lists as mmcv's ``TestTimeAug`` makes them, so that any collate function does."""
        inputs, samples = [], []
        for view in results['views']:
            inputs.append(planes(view['img']))
            known = {**results, **view}
            sample = SegDataSample()
            sample.set_metainfo({key: known[key] for key in self.meta_keys if key in known})
            samples.append(sample)
        if 'gt_seg_map' in results:
            label = torch.from_numpy(results['gt_seg_map'].astype(np.int64))
            samples[0].gt_sem_seg = PixelData(data=label[None])
        return {'inputs': inputs, 'data_samples': samples}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'


def planes(picture: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, C) array -> (C, H, W) contiguous tensor of the same type."""
    if picture.ndim == 2:
        picture = picture[:, :, None]
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).contiguous()
