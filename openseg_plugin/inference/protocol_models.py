"""Multi-scale test of pytorch-cv, its ``MultiEvalModel``.

What the test protocols of other projects share: they get one view and scale it themselves.

The tests of openseg.pytorch, whole or in crops, at one scale or several, as a model.
"""

import math
from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.multi_scale_flip import pad_views, with_preprocessor
from openseg_plugin.inference.protocols import (
    Network,
    openseg_labels,
    openseg_multi_scale,
    padded_windows,
)
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.tiled_argmax import resize_to_original
from openseg_plugin.models.segmentors.encoder_decoder import geometry_of
from openseg_plugin.registry import MODELS


class SingleViewTTA(BaseTTAModel):
    """Predicts every image from its one view by :meth:`labels`.

    Expects the pipeline ``MultiScaleViews`` with the one ratio 1, and ``PackMultiScaleInputs``.

    Args:
        module: the segmentor or its config.
        data_preprocessor: of a ``module`` whose config names none.
    """

    def __init__(self, module: dict | nn.Module, data_preprocessor: dict | None = None) -> None:
        super().__init__(with_preprocessor(module, data_preprocessor))

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predictions of a batch.

        Args:
            data: ``inputs[0][image]`` (3, h, w) and ``data_samples`` in the same order.

        Returns:
            The samples with ``pred_sem_seg`` (1, H, W) int64.

        Raises:
            ConfigError: there is more than one view of an image.
        """
        if len(data['inputs']) != 1:
            raise ConfigError(
                f'{type(self).__name__} got {len(data["inputs"])} views of an image, but makes '
                'the scales itself: use openseg_plugin.MultiScaleViews with ratios=(1.0,) in '
                'tta_pipeline, or openseg test --scales 1'
            )
        return list(map(self._predict, data['inputs'][0], data['data_samples'][0]))

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: scales are merged as they come."""
        raise NotImplementedError(f'{type(self).__name__} merges inside test_step')

    def labels(self, inputs: Tensor, metainfo: dict) -> Tensor:
        """Labels (1, H, W) int64 at the original size.

        Args:
            inputs: (1, 3, h, w), normalized and padded.
            metainfo: of its sample.
        """
        raise NotImplementedError

    def _predict(self, image: Tensor, sample: SegDataSample) -> SegDataSample:
        batch = {'inputs': [image], 'data_samples': [sample]}
        batch = self.module.data_preprocessor(batch, False)
        sample = batch['data_samples'][0]
        labels = self.labels(batch['inputs'], sample.metainfo)
        sample.set_data({'pred_sem_seg': PixelData(data=labels)})
        return sample


@MODELS.register_module()
class OpenSegMultiScale(SingleViewTTA):
    """``ss_test``, ``sscrop_test``, ``ms_test`` and ``mscrop_test``, exactly.

    Unlike :class:`openseg_plugin.MultiScaleFlip` with ``merge='logits'``, the normalized and padded
    image is scaled (aligned corners), logits are summed at its size, cut to what is not padding,
    and brought to the original size by *cubic* interpolation.

    ===============  ==========================================
    test             options
    ===============  ==========================================
    ``ss_test``      none
    ``sscrop_test``  ``crop_size``
    ``ms_test``      ``scales``, ``flip``
    ``mscrop_test``  ``scales``, ``flip``, ``crop_size``
    ===============  ==========================================

    Args:
        module: the segmentor or its config.
        scales: what the image's sides are multiplied by.
        flip: also predict everything flipped.
        scale_weights: weight of each scale's logits; None: 1.
        crop_size: (height, width) in pixels of non-overlapping crops, the last ones flush with the
            border, at scales of at least 1; None: whole images.
        size_divisor: pad at the right and the bottom to a multiple of it; None: as the module's
            data preprocessor says.
        data_preprocessor: of a ``module`` whose config names none.

    Raises:
        ConfigError: no scale, one that is not above 0, or another number of weights.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        scale_weights: Sequence[float] | None = None,
        crop_size: Sequence[int] | None = None,
        size_divisor: int | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor=data_preprocessor)
        if not scales or min(scales) <= 0:
            raise ConfigError(f'tta_model.scales is {list(scales)}: give numbers above 0')
        if scale_weights is not None and len(scale_weights) != len(scales):
            raise ConfigError(
                f'tta_model has {len(scales)} scales and {len(scale_weights)} scale_weights: give '
                'one weight per scale'
            )
        pad_views(self.module, size_divisor)
        self.options: dict[str, Any] = {
            'scales': tuple(scales),
            'flip': flip,
            'scale_weights': scale_weights,
            'crop_size': None if crop_size is None else tuple(crop_size),
        }

    def labels(self, inputs: Tensor, metainfo: dict) -> Tensor:
        """Labels (1, H, W) int64 of one image (1, 3, h, w).

        Raises:
            ConfigError: the model has one channel, which openseg's tests do not know.
        """
        pairs = metainfo.get('flip_pairs') or ()
        logits = openseg_multi_scale(self.module.decode, inputs, flip_pairs=pairs, **self.options)
        if logits.shape[1] == 1:
            raise ConfigError(
                'OpenSegMultiScale takes the best of several classes, and the model has one '
                'channel: use openseg_plugin.MultiScaleFlip'
            )
        geometry = geometry_of(metainfo, inputs.shape[2:])
        labels = openseg_labels(
            logits[0], border_size=geometry.image_size, output_size=geometry.final_size
        )
        return labels[None].to(inputs.device)


def pytorchcv_multi_scale(
    network: Network,
    inputs: Tensor,
    *,
    base_size: int,
    crop_size: int,
    pad_value: Sequence[float],
    scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
    flip: bool = True,
) -> Tensor:
    """Sum over the scales of exp(logits + logits of the flipped image), at the input's size.

    Scale s makes the long side ceil(``base_size`` * s) pixels. Images larger than a crop go in
    windows of a crop with a stride of 2/3, filled up at the border.

    Args:
        network: from normalized images (N, 3, H, W) to logits (N, K, h, w) of any resolution.
        inputs: (1, 3, H, W).
        base_size: pixels; pytorch-cv: 540 on VOC, 1024 on Cityscapes.
        crop_size: side of the square windows in pixels; 480 and 768.
        pad_value: what fills up, per channel: -mean / std of the normalization (black).
        scales: s.
        flip: False leaves the flipped image out.

    Returns:
        (1, K, H, W), positive, not divided by anything.
    """

    def predict(image: Tensor) -> Tensor:
        size = image.shape[2:]
        logits = resize_bilinear(network(image), size, align_corners=True)
        if flip:
            flipped = resize_bilinear(network(image.flip(3)), size, align_corners=True)
            logits = logits + flipped.flip(3)
        return logits.exp()

    height, width = inputs.shape[2:]
    total: Tensor | None = None
    for scale in scales:
        long = math.ceil(base_size * scale)
        if height > width:
            size = (long, int(width * long / height + 0.5))
        else:
            size = (int(height * long / width + 0.5), long)
        image = resize_bilinear(inputs, size, align_corners=True)
        exps = padded_windows(image, predict, (crop_size, crop_size), pad_value)
        exps = resize_bilinear(exps, (height, width), align_corners=True)
        total = exps if total is None else total + exps
    assert total is not None, 'there is a scale'
    return total


@MODELS.register_module()
class PytorchCVMultiScale(SingleViewTTA):
    """Predicts an image in windows at multiple scales; see :func:`pytorchcv_multi_scale`.

    Expects the pipeline ``MultiScaleViews`` with the one ratio 1, and ``PackMultiScaleInputs``.

    Args:
        module: the segmentor or its config.
        base_size: long side of the image at scale 1, in pixels.
        crop_size: side of the square windows in pixels.
        scales: what ``base_size`` is multiplied by.
        flip: also predict everything flipped.
        data_preprocessor: of a ``module`` whose config names none.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        *,
        base_size: int,
        crop_size: int,
        scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        flip: bool = True,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor=data_preprocessor)
        self.base_size = base_size
        self.crop_size = crop_size
        self.scales = tuple(scales)
        self.flip = flip

    def labels(self, inputs: Tensor, metainfo: dict) -> Tensor:
        """Labels (1, H, W) int64 of one image (1, 3, h, w)."""
        preprocessor = self.module.data_preprocessor
        scores = pytorchcv_multi_scale(
            self.module.encode_decode,
            inputs,
            base_size=self.base_size,
            crop_size=self.crop_size,
            pad_value=(-preprocessor.mean / preprocessor.std).flatten().tolist(),
            scales=self.scales,
            flip=self.flip,
        )
        geometry = geometry_of(metainfo, scores.shape[2:])
        return resize_to_original(scores, geometry, align_corners=True).argmax(dim=1)
