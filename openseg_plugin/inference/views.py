"""Images at multiple scales for test-time augmentation: one decode, one resize per scale.

mmseg's ``TestTimeAug`` copies the sample, resizes, flips, decodes the label and packs once for
every scale and direction. Here the image is read and the label decoded once, every scale is
resized once with the same roundings, and flipping is left to the model
(:class:`openseg_plugin.MultiScaleFlip`). The network's inputs are the same bytes.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
from mmcv.image import rescale_size
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from openseg_plugin.config.queries import is_step, loads_sample
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS

_VIEWS = 'openseg_plugin.MultiScaleViews'
_PACK = 'openseg_plugin.PackMultiScaleInputs'
_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
# what OpenCV resizes; other types become float32, as they do when a batch is normalized
_RESIZABLE = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
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
    """Adds ``views``, one dict per ratio: ``planes``, ``img_shape`` and ``scale_factor``.

    ``planes`` (C, h, w) is the image as ``Resize(keep_ratio=True)`` makes it, with its
    channels apart: they are resized one by one, which saves taking the result apart. Needs
    ``img``; the label is not touched: predictions are compared at the original size.

    Args:
        ratios: sizes relative to the image, or to ``scale``.
        scale: (width, height) that a ratio of 1 fits the image into, keeping its shape; None:
            the image's own size.

    Raises:
        ConfigError: no ratio, or one that is not above 0.
    """

    def __init__(self, *, ratios: Sequence[float], scale: tuple[int, int] | None = None) -> None:
        if not ratios or min(ratios) <= 0:
            raise ConfigError(f'MultiScaleViews has ratios={ratios}: give numbers above 0')
        self.ratios = tuple(ratios)
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Resizes ``img`` (H, W) or (H, W, C) once per ratio."""
        source = planes(results['img'])
        results['views'] = [self._view(source, ratio) for ratio in self.ratios]
        return results

    def _view(self, source: np.ndarray, ratio: float) -> dict:
        """Planes (C, H, W) at one ratio."""
        height, width = source.shape[1:]
        if self.scale is None:
            box = (int(width * ratio + 0.5), int(height * ratio + 0.5))
        else:
            box = (int(self.scale[0] * ratio), int(self.scale[1] * ratio))
        size = rescale_size((width, height), box)  # (width, height)
        resized = source
        if size != (width, height):
            resized = np.empty((len(source), size[1], size[0]), source.dtype)
            for plane, target in zip(source, resized):
                cv2.resize(plane, size, dst=target, interpolation=cv2.INTER_LINEAR)
        return {
            'planes': resized,
            'img_shape': resized.shape[1:],
            'scale_factor': (size[0] / width, size[1] / height),
        }

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ratios={self.ratios}, scale={self.scale})'


@TRANSFORMS.register_module()
class PackMultiScaleInputs(BaseTransform):
    """Packs the views: ``inputs``, a list of (C, h, w), and one data sample for each.

    8-bit images stay as they are, all others become float32: torch can flip no uint16.

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
            image = view['planes']
            inputs.append(torch.from_numpy(image if image.dtype == np.uint8 else _float(image)))
            known = {**results, **view}
            sample = SegDataSample()
            sample.set_metainfo({key: known[key] for key in self.meta_keys if key in known})
            samples.append(sample)
        if 'gt_seg_map' in results:
            # bytes: the label is only compared, and travels between processes
            label = torch.from_numpy(np.require(results['gt_seg_map'], requirements=('C', 'W')))
            samples[0].gt_sem_seg = PixelData(data=label[None])
        return {'inputs': inputs, 'data_samples': samples}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'


def _float(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32, copy=False)


def planes(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) -> (C, H, W) contiguous; 6 times the speed of a transposing copy."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.dtype not in _RESIZABLE:
        image = _float(image)
    separate = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(image, list(separate))
    return separate


def set_views(
    cfg: Config,
    datasets: Iterable[dict],
    *,
    scales: Sequence[float] | None = None,
    flip: bool | None = None,
) -> None:
    """Wraps the model of a config for test-time augmentation and gives its datasets the views.

    Args:
        cfg: changed in place; its ``tta_model`` and ``tta_pipeline`` count where they are there.
        datasets: configs of the datasets, with pipelines.
        scales: of the views; None: as the config says, else 0.5 to 1.75.
        flip: also predict everything flipped; None: as the config says, else yes.

    Raises:
        ConfigError: ``scales`` for a pipeline that makes its views in another way.
    """
    for dataset in datasets:
        pipeline = cfg.get('tta_pipeline')
        if pipeline is None:  # what loads the sample stays
            loading = [step for step in dataset['pipeline'] if loads_sample(step)]
            pipeline = [*loading, dict(type=_VIEWS, ratios=_SCALES), dict(type=_PACK)]
        if scales is not None:
            pipeline = [
                {**step, 'ratios': tuple(scales)} if is_step(step, MultiScaleViews) else step
                for step in pipeline
            ]
            if not any(is_step(step, MultiScaleViews) for step in pipeline):
                raise ConfigError(f'--scales needs a tta_pipeline with {_VIEWS}')
        dataset['pipeline'] = pipeline
    wrapper = dict(cfg.get('tta_model') or dict(type='openseg_plugin.MultiScaleFlip'))
    if flip is not None:
        wrapper['flip'] = flip
    if cfg.model.get('data_preprocessor'):  # mmengine's runner would hand it the config's own
        wrapper['data_preprocessor'] = cfg.model.data_preprocessor
    cfg.model = dict(**wrapper, module=cfg.model)
