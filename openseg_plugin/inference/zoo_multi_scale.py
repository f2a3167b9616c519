"""Multi-scale test of the zoo pytorch-cv, its ``MultiEvalModel``."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from openseg_plugin.inference.one_view import OneViewModel
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
class ZooMultiScale(OneViewModel):
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

    def labels(self, inputs: Tensor, metainfo: dict) -> Tensor:
        """Labels (1, H, W) int64 of one picture (1, 3, h, w)."""
        preprocessor = self.module.data_preprocessor
        scores = zoo_multi_scale(
            self.module.decode_window,
            inputs,
            base_size=self.base_size,
            crop_size=self.crop_size,
            pad_value=(-preprocessor.mean / preprocessor.std).flatten().tolist(),
            scales=self.scales,
            flip=self.flip,
        )
        geometry = geometry_of(metainfo, scores.shape[2:])
        return place(scores, geometry, align_corners=True).argmax(dim=1)
