"""Hierarchical multi-scale attention around any backbone and any head with pixel features.

Paper: Tao, Sapra, Catanzaro, arXiv 2005.10821. Two published forms, by options:

======================  =====================================  ==================================
option                  NVIDIA/semantic-segmentation           PaddleSeg CityscapesSOTA
======================  =====================================  ==================================
exact_ratio             False                                  True
loss_decode, _region    RMI; its cross entropy part, 0.4       dice + bootstrapped; the same, 0.4
loss_scale              cross entropy part of RMI, 0.05        dice + bootstrapped, 0.05
scales                  0.5, 1, 2                              0.5, 1, 2 or 0.5, 1, 1.5, 2, 2.5
======================  =====================================  ==================================

Both convert to the same weights. Different from both: the weights of the finest scale, which
nobody uses, are not computed; passes are fused as they come, a few classes at a time.

Legend: N batch, K classes, (H, W) size of the network's input in pixels, (h, w) size of a head's
output.

What every scale of a multi-scale network says about an image, at the image's own size.

What cannot work with multiple scales, said when the model is built.

(H, W): sides in pixels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.scale_fusion import full_precision, fuse, scaled_image, scaled_size
from openseg_plugin.layers.tiled_argmax import resize_to_original
from openseg_plugin.models.heads.decode_head import build_losses
from openseg_plugin.models.segmentors.encoder_decoder import (
    EncoderDecoder,
    geometry_of,
    without_sync_bn,
)
from openseg_plugin.registry import MODELS

STRIDE = 32  # pixels that one pixel of the backbone's coarsest map stands for


def ordered_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Scales from the finest to the coarsest.

    Raises:
        ConfigError: 1.0 is not among them, one occurs twice or is not positive.
    """
    ordered = tuple(sorted((float(scale) for scale in scales), reverse=True))
    fault = None
    if 1.0 not in ordered:
        fault = '1.0 must be among them, as the result has the size of that pass'
    elif len(set(ordered)) != len(ordered):
        fault = 'each may occur once'
    elif ordered[-1] <= 0:
        fault = 'they must be positive'
    if fault:
        raise ConfigError(f'scales are {tuple(scales)}: {fault}, as in (0.5, 1.0, 2.0).')
    return ordered


def require_pixel_features(head: nn.Module) -> None:
    """Raises ConfigError for a head that shows no features to make scale attention of."""
    if not (hasattr(head, 'object_contextual_features') or hasattr(head, 'pixel_features')):
        raise ConfigError(
            f'decode_head {type(head).__name__} has no pixel features to make scale attention of: '
            'use openseg_plugin.OCRHead, or a head with a method pixel_features.'
        )


def require_sizes(
    crop: Sequence[int] | None, train_scale: float, test_cfg: Mapping[str, Any], coarsest: float
) -> None:
    """Check all sizes that are known when the model is built.

    Args:
        crop: (H, W) of the training crops; None: not known. Tested images are taken to be at
            least as large.
        train_scale: of the reduced copy in training.
        test_cfg: of the model.
        coarsest: smallest scale in prediction.

    Raises:
        ConfigError: ``train_scale`` cannot be, or a crop or window is too small for a scale.
    """
    require_halves(crop, train_scale)
    name = 'data_preprocessor.size'
    if test_cfg.get('mode', 'whole') == 'slide':
        crop, name = test_cfg['crop_size'], 'test_cfg.crop_size'
    if crop is not None:
        require_stride(name, crop, coarsest)


def require_halves(crop: Sequence[int] | None, scale: float) -> None:
    """Check the scale of the reduced copy in training, and the crops that it is made of.

    Args:
        crop: (H, W) of the training crops; None: not known.
        scale: of the reduced copy.

    Raises:
        ConfigError: the scale is not between 0 and 1, or gives parts of a pixel.
    """
    if not 0 < scale < 1:
        raise ConfigError(
            f'train_scale is {scale:g}: the reduced copy needs a scale between 0 and 1, such as '
            '0.5.'
        )
    if crop is None:
        return
    if any(side * scale % 1 for side in crop):
        raise ConfigError(
            f'data_preprocessor.size is {tuple(crop)}, and train_scale={scale:g} of that is no '
            'whole number of pixels: choose a crop size that it divides.'
        )
    require_stride('data_preprocessor.size', crop, scale)


def require_stride(name: str, crop: Sequence[int], scale: float) -> None:
    """Raises ConfigError where ``crop`` (H, W) at ``scale`` is smaller than the stride."""
    small = scaled_size(crop, scale)
    if min(small) < STRIDE:
        raise ConfigError(
            f'{name} is {tuple(crop)}, which is {small} at scale {scale:g}, less than the stride '
            f'of {STRIDE} pixels: use larger crops or leave out that scale.'
        )


View = tuple[float, Tensor | None, Tensor]


def views_of_passes(
    model: EncoderDecoder,
    passes: Iterable[Any],
    data_samples: Sequence[SegDataSample],
    input_size: Sequence[int],
) -> list[list[View]]:
    """Scale, attention (H, W) 0 to 1 or None, and labels (H, W) int64, per image and pass.

    Args:
        model: the segmentor.
        passes: of the batch.
        data_samples: its samples.
        input_size: (H, W) of the network's input at scale 1.
    """
    found: list[list[View]] = [[] for _ in data_samples]
    for one in passes:
        for index, sample in enumerate(data_samples):
            geometry = geometry_of(sample.metainfo, input_size)
            attention = None
            if one.attention is not None:
                maps = one.attention[index : index + 1]
                attention = resize_to_original(maps, geometry, align_corners=model.align_corners)[
                    0, 0
                ]
            labels = model.labels_of(one.logits[index : index + 1], geometry)[0]
            found[index].append((one.scale, attention, labels))
    return found


MIN_SIDE = 4  # pixels of a pass: one pixel of the head's output


@dataclass
class Pass:
    """What one scale gives.

    Attributes:
        scale: of its input.
        size: (H, W) of its input.
        logits: (N, K, h, w).
        regions: (N, K, h', w') logits of the head's regions; None: the head has none.
        attention: (N, 1, h, w), 0 to 1; None: not asked for.
    """

    scale: float
    size: tuple[int, int]
    logits: Tensor
    regions: Tensor | None
    attention: Tensor | None


@MODELS.register_module()
class HierarchicalMultiScaleSegmentor(EncoderDecoder):
    """Trains on the image and a reduced copy, predicts from any number of scales.

    Args:
        backbone: config of the backbone.
        decode_head: config of a head with pixel features: ``object_contextual_features(feats)``,
            which gives region logits and features, or ``pixel_features(feats)``; ``cls_seg`` makes
            the logits of the features.
        scale_attention: config of what makes the weights of the features.
        scales: of the passes in prediction; 1.0 must be among them. ``test_cfg.scales`` counts
            where it is given.
        train_scale: of the reduced copy in training, 0 to 1.
        loss_scale: loss, or list of losses, on the logits of each of the two passes by itself,
            with its weight. None: none.
        exact_ratio: which coordinates scaled images have, see ``scaled_image``.
        neck: config of the neck.
        train_cfg: accepted for mmseg's sake.
        test_cfg: as :class:`EncoderDecoder`'s, and ``scales``.
        data_preprocessor: config of the preprocessor.
        pretrained: accepted for mmseg's sake; give the backbone an ``init_cfg`` instead.
        init_cfg: initialization as in mmengine.
        drop_classifier: leave the classifier as initialized when weights trained for other classes
            are loaded.

    Raises:
        ConfigError: scales that cannot be, a head without pixel features, or crops that the
            scales do not fit.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        scale_attention: dict,
        *,
        scales: Sequence[float] = (0.5, 1.0, 2.0),
        train_scale: float = 0.5,
        loss_scale: dict | Sequence[dict] | None = None,
        exact_ratio: bool = False,
        neck: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
        drop_classifier: bool = False,
    ) -> None:
        super().__init__(
            backbone,
            decode_head,
            neck=neck,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            pretrained=pretrained,
            init_cfg=init_cfg,
            drop_classifier=drop_classifier,
        )
        self.scale_attention: BaseModule = MODELS.build(scale_attention)
        if not torch.cuda.is_available():
            without_sync_bn(self.scale_attention)
        self.loss_scale: Any = build_losses(
            [loss_scale] if isinstance(loss_scale, dict) else loss_scale or []
        )
        self.train_scale = float(train_scale)
        self.exact_ratio = exact_ratio
        self.scales = ordered_scales(self.test_cfg.get('scales', scales))
        require_pixel_features(self.decode_head)
        crop = getattr(self.data_preprocessor, 'size', None)
        require_sizes(crop, self.train_scale, self.test_cfg, self.scales[-1])

    def passes(self, inputs: Tensor, scales: Sequence[float]) -> Iterator[Pass]:
        """One pass after the other, so that only what is kept of them takes memory.

        Args:
            inputs: (N, 3, H, W) normalized images.
            scales: from the finest to the coarsest; the first one's attention is left out.

        Raises:
            ConfigError: a scale leaves less than the head's stride of a side.
        """
        for index, scale in enumerate(scales):
            size = scaled_size(inputs.shape[2:], scale)
            if min(size) < MIN_SIDE:
                height, width = inputs.shape[2:]
                raise ConfigError(
                    f'an image of {height}x{width} pixels is {size[0]}x{size[1]} at scale '
                    f'{scale:g}: leave that scale out of model.scales or use larger images.'
                )
            image = scaled_image(inputs, scale, exact_ratio=self.exact_ratio)
            yield self._pass(image, scale, with_attention=index > 0)

    def _pass(self, image: Tensor, scale: float, *, with_attention: bool) -> Pass:
        head = self.decode_head
        feats = self.extract_feat(image)
        regions = attention = None
        if hasattr(head, 'object_contextual_features'):
            regions, pixels = head.object_contextual_features(feats)
            regions = full_precision(regions)
        else:
            pixels = head.pixel_features(feats)
        if with_attention:
            attention = full_precision(self.scale_attention(pixels))
        elif self.training:
            # as published its running statistics see both scales; prediction weighs scale 1 too
            with torch.no_grad():
                self.scale_attention(pixels)
        logits = full_precision(head.cls_seg(pixels))
        return Pass(scale, (image.shape[2], image.shape[3]), logits, regions, attention)

    def decode(self, inputs: Tensor) -> Tensor:
        """Fused logits (N, K, H, W) of normalized images (N, 3, H, W).

        With scale 1 alone they have the head's resolution.
        """
        if self.scales == (1.0,):
            return self._pass(inputs, 1.0, with_attention=False).logits
        return self.fused(self.passes(inputs, self.scales), inputs.shape[2:])

    def fused(
        self, passes: Iterable[Pass], size: Sequence[int], *, of_regions: bool = False
    ) -> Tensor:
        """Logits (N, K, H, W) of passes, from the finest to the coarsest.

        Args:
            passes: as :meth:`passes` gives them; each is taken up before the next one is made.
            size: (H, W) of the input at scale 1.
            of_regions: fuse the logits of the head's regions instead, with the same weights.
        """
        result: Tensor | None = None
        place = (0, 0)
        for one in passes:
            logits = one.regions if of_regions else one.logits
            assert logits is not None, 'the caller knows that there are regions'
            if result is None:
                result, place = logits, one.size
            else:
                assert one.attention is not None, 'of all passes but the first'
                target = one.size if one.scale >= 1 else place
                sizes = dict(before_size=place, own=one.size, size=target)
                options = dict(**sizes, align_corners=self.align_corners)
                result = fuse(result, logits, one.attention, **options)
                place = target
            del one, logits  # or they would live until the next pass is done
        assert result is not None, 'there is a pass'
        return self._resized(self._resized(result, place), size)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the joint logits, of the joint region logits and of each pass by itself."""
        coarse, fine = self.two_passes(inputs)
        joint = self.fused([fine, coarse], fine.size)
        head = self.decode_head
        outputs: Any = joint
        if fine.regions is not None:
            outputs = (self.fused([fine, coarse], fine.size, of_regions=True), joint)
        found = head.loss_by_feat(outputs, data_samples)
        losses = {f'decode.{name}': value for name, value in found.items()}
        labels = torch.cat([sample.gt_sem_seg.data for sample in data_samples])
        for name, one in (('coarse', coarse), ('fine', fine)):
            for function in self.loss_scale:
                logits = self._resized(self._resized(one.logits, one.size), labels.shape[1:])
                value = function(logits, labels, ignore_index=head.ignore_index)
                key = f'{name}.{function.loss_name}'
                losses[key] = losses[key] + value if key in losses else value
        return losses

    def two_passes(self, inputs: Tensor) -> tuple[Pass, Pass]:
        """The reduced copy first, then the image, as published: both move the statistics."""
        image = scaled_image(inputs, self.train_scale, exact_ratio=self.exact_ratio)
        coarse = self._pass(image, self.train_scale, with_attention=True)
        fine = self._pass(inputs, 1.0, with_attention=False)
        return coarse, fine

    def scale_views(self, inputs: Tensor, data_samples: list[SegDataSample]) -> list[list[View]]:
        """Attention and labels of every pass, see :func:`views_of_passes`."""
        passes = self.passes(inputs, self.scales)
        return views_of_passes(self, passes, data_samples, inputs.shape[2:])

    def _resized(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        return resize_bilinear(maps, size, align_corners=self.align_corners)

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        """Fused logits; mmengine's mode 'tensor'."""
        return self.decode(inputs)
