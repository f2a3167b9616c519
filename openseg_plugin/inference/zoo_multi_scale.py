"""Multi-scale test of the zoo pytorch-cv, its ``MultiEvalModel``."""

import math
from collections.abc import Sequence

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.protocols import Network, padded_windows
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.tiled_argmax import place
from openseg_plugin.models.segmentors.encoder_decoder import geometry_of
from openseg_plugin.registry import MODELS


def zoo_multi_scale(
    network: Network,
    inputs: Tensor,
    *,
    base_size: int,
    crop_size: int,
    pad_value: Sequence[float],
    scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
    flip: bool = True,
) -> Tensor:
    """Sum over the scales of exp(logits + logits of the mirrored picture), at the input's size.

    Scale s makes the long side ceil(``base_size`` * s) pixels. Pictures larger than a crop go in
    windows of a crop with a stride of 2/3, filled up at the border.

    Args:
        network: from normalised pictures (N, 3, H, W) to logits (N, K, h, w) of any resolution.
        inputs: (1, 3, H, W).
        base_size: pixels; the zoo: 540 on VOC, 1024 on Cityscapes.
        crop_size: side of the square windows in pixels; 480 and 768.
        pad_value: what fills up, per channel: -mean / std of the normalisation (black).
        scales: s.
        flip: False leaves the mirrored picture out.

    Returns:
        (1, K, H, W), positive, not divided by anything.
    """

    def predict(picture: Tensor) -> Tensor:
        size = picture.shape[2:]
        logits = resize_bilinear(network(picture), size, align_corners=True)
        if flip:
            mirrored = resize_bilinear(network(picture.flip(3)), size, align_corners=True)
            logits = logits + mirrored.flip(3)
        return logits.exp()

    height, width = inputs.shape[2:]
    total = 0
    for scale in scales:
        long = math.ceil(base_size * scale)
        if height > width:
            size = (long, int(width * long / height + 0.5))
        else:
            size = (int(height * long / width + 0.5), long)
        picture = resize_bilinear(inputs, size, align_corners=True)
        exps = padded_windows(picture, predict, (crop_size, crop_size), pad_value)
        total = total + resize_bilinear(exps, (height, width), align_corners=True)
    return total


@MODELS.register_module()
class ZooMultiScale(BaseTTAModel):
    """Predicts a picture in windows at several scales; see :func:`zoo_multi_scale`.

    Expects the pipeline ``MultiScaleViews`` with the one ratio 1, and ``PackMultiScaleInputs``.

    Args:
        module: the segmentor or its config.
        base_size: long side of the picture at scale 1, in pixels.
        crop_size: side of the square windows in pixels.
        scales: what ``base_size`` is multiplied by.
        flip: also predict everything mirrored.
        data_preprocessor: put into the config of ``module``.
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

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predictions of a batch.

        Args:
            data: ``inputs[0][picture]`` (3, h, w) and ``data_samples`` in the same order.

        Returns:
            The samples with ``pred_sem_seg`` (1, H, W) int64.

        Raises:
            ConfigError: there is more than one view of a picture.
        """
        if len(data['inputs']) != 1:
            raise ConfigError(
                f'ZooMultiScale got {len(data["inputs"])} views of a picture, but makes the scales '
                'itself: use openseg_plugin.MultiScaleViews with ratios=(1.0,) in tta_pipeline'
            )
        return list(map(self._predict, data['inputs'][0], data['data_samples'][0]))

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: scales are merged as they come."""
        raise NotImplementedError('ZooMultiScale merges inside test_step')

    def _predict(self, picture: Tensor, sample: SegDataSample) -> SegDataSample:
        batch = {'inputs': [picture], 'data_samples': [sample]}
        batch = self.module.data_preprocessor(batch, False)
        preprocessor = self.module.data_preprocessor
        scores = zoo_multi_scale(
            self.module.decode_window,
            batch['inputs'],
            base_size=self.base_size,
            crop_size=self.crop_size,
            pad_value=(-preprocessor.mean / preprocessor.std).flatten().tolist(),
            scales=self.scales,
            flip=self.flip,
        )
        sample = batch['data_samples'][0]
        geometry = geometry_of(sample.metainfo, scores.shape[2:])
        labels = place(scores, geometry, align_corners=True).argmax(dim=1)
        sample.set_data({'pred_sem_seg': PixelData(data=labels)})
        return sample
