"""Segmentor of a backbone and decode heads; differs from mmseg's in how it predicts.

* One resize from the head's resolution to the image and a tiled arg-max; the labels are those of
  the straightforward way. Full-size ``seg_logits`` are computed when somebody reads them.
* Sliding windows are added to slices of one accumulator.
* One-channel (binary) heads predict: sigmoid > the head's threshold.
* SyncBN becomes BatchNorm where there is no GPU.

N batch, K output channels, H, W input size, h, w size of the head's logits.

A second segmentor shows its head the labels, for heads that measure an upper bound.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder as MMSegEncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.sliding_window import slide
from openseg_plugin.layers.tiled_argmax import (
    OutputGeometry,
    label_map,
    resize_to_original,
    sampled_probabilities,
    sampling_stride,
)
from openseg_plugin.models.foreign_weights import ForeignWeightsMixin
from openseg_plugin.models.lazy_pixel_data import LazyPixelData
from openseg_plugin.models.segmentors.map_strides import (
    feature_maps,
    names_strides,
    resolve_strides,
)
from openseg_plugin.registry import MODELS

_said: set[str] = set()


def without_sync_bn(module: nn.Module) -> int:
    """Replace every SyncBatchNorm below ``module`` by a BatchNorm2d; returns how many there were.

    Names and values of parameters and buffers stay, so state dicts fit both ways.
    """
    replaced = 0
    for name, child in module.named_children():
        if isinstance(child, nn.SyncBatchNorm):
            norm = nn.BatchNorm2d(
                child.num_features,
                eps=child.eps,
                momentum=child.momentum,
                affine=child.affine,
                track_running_stats=child.track_running_stats,
            )
            norm.load_state_dict(child.state_dict())
            for kept, source in zip(norm.parameters(), child.parameters()):
                kept.requires_grad_(source.requires_grad)
            setattr(module, name, norm.train(child.training))
            replaced += 1
        else:
            replaced += without_sync_bn(child)
    return replaced


def geometry_of(metainfo: dict, input_size: Sequence[int]) -> OutputGeometry:
    """Where the logits of one sample belong, from its metainfo (mmseg's keys)."""
    padding = metainfo.get('img_padding_size', metainfo.get('padding_size', (0, 0, 0, 0)))
    flip = metainfo.get('flip_direction', 'horizontal') if metainfo.get('flip') else None
    left, right, top, bottom = (int(side) for side in padding)
    return OutputGeometry(
        input_size=_size(input_size),
        padding=(left, right, top, bottom),
        flip=flip,
        output_size=_size(metainfo['ori_shape']),
    )


def _size(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width, the first two of a shape."""
    return int(shape[0]), int(shape[1])


@MODELS.register_module()
class EncoderDecoder(ForeignWeightsMixin, MMSegEncoderDecoder):
    """Backbone, optional neck, decode head, optional auxiliary heads.

    Args:
        backbone: config of the backbone.
        decode_head: config of the head. Heads of this package give the final logits through
            ``final_logits``; mmseg's heads work as they are. Heads may name the maps that they
            read by ``in_strides``, see :mod:`.map_strides`.
        neck: config of the neck.
        auxiliary_head: config of the auxiliary head or a list of them; used in training only.
        train_cfg: accepted for mmseg's sake.
        test_cfg: ``mode`` 'whole' or 'slide'; for 'slide' also ``crop_size`` and ``stride``,
            (rows, columns) in pixels, and ``window_batch``, windows per forward pass (default 1);
            ``with_confidence=True`` adds ``sampled_probabilities`` (K, h', w') at some of the
            pixels, see :func:`openseg_plugin.layers.tiled_argmax.sampled_probabilities`.
        data_preprocessor: config of the preprocessor.
        pretrained: accepted for mmseg's sake; give the backbone an ``init_cfg`` instead.
        init_cfg: initialization as in mmengine.
        drop_classifier: leave the classifier as initialized when weights trained for other classes
            are loaded.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | None = None,
        auxiliary_head: dict | list[dict] | None = None,
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
            auxiliary_head=auxiliary_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg or {'mode': 'whole'},
            data_preprocessor=data_preprocessor,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.drop_classifier = drop_classifier
        if hasattr(self.backbone, 'check_preprocessing'):
            self.backbone.check_preprocessing(self.data_preprocessor)
        if not torch.cuda.is_available() and without_sync_bn(self) and 'bn' not in _said:
            _said.add('bn')
            print_log(
                'no GPU: SyncBN is replaced by BatchNorm (same weights, statistics per process)',
                logger='current',
                level=logging.INFO,
            )

    def _init_decode_head(self, decode_head: dict) -> None:
        super()._init_decode_head(self._with_indices(decode_head, 'model.decode_head'))

    def _init_auxiliary_head(self, auxiliary_head: dict | list[dict] | None) -> None:
        if isinstance(auxiliary_head, list):
            auxiliary_head = [
                self._with_indices(head, f'model.auxiliary_head.{index}')
                for index, head in enumerate(auxiliary_head)
            ]
        elif auxiliary_head is not None:
            auxiliary_head = self._with_indices(auxiliary_head, 'model.auxiliary_head')
        super()._init_auxiliary_head(auxiliary_head)

    def _with_indices(self, head: dict, key: str) -> dict:
        """Config of a head with numbers in the place of strides; the backbone is there by now."""
        if not names_strides(head):
            return head
        maps = feature_maps(self.backbone, getattr(self, 'neck', None))
        return resolve_strides(head, maps, key=key)

    def map_strides(self, channels: int | None = None) -> list[int]:
        """Strides of the maps that the heads get of images of so many channels."""
        neck = getattr(self, 'neck', None)
        return [one.stride for one in feature_maps(self.backbone, neck, channels=channels)]

    def decode(self, inputs: Tensor) -> Tensor:
        """Final logits (N, K, h, w), not yet resized, of normalized images (N, C, H, W).

        (h, w) is the head's own resolution; mmseg heads with a ``predict`` of their own answer at
        the input size.
        """
        feats = self.extract_feat(inputs)
        head = self.decode_head
        if hasattr(head, 'final_logits'):
            return head.final_logits(feats)
        cls = type(head)
        if (cls.predict, cls.predict_by_feat) == (
            BaseDecodeHead.predict,
            BaseDecodeHead.predict_by_feat,
        ):
            return head.forward(feats)
        size = torch.Size(inputs.shape[2:])
        metas = [dict(img_shape=size, pad_shape=size, ori_shape=size) for _ in range(len(inputs))]
        return head.predict(feats, metas, self.test_cfg)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """Final logits (N, K, H, W) of normalized images (N, C, H, W) in one pass.

        mmseg's name and contract; the metainfo is not needed.
        """
        return resize_bilinear(
            self.decode(inputs), inputs.shape[2:], align_corners=self.align_corners
        )

    def scores(self, inputs: Tensor) -> Tensor:
        """Logits (N, K, h, w) as ``test_cfg.mode`` says: head's resolution whole, (H, W) slide.

        Raises:
            ConfigError: ``test_cfg.mode`` is neither 'whole' nor 'slide'.
        """
        mode = self.test_cfg.get('mode', 'whole')
        if mode == 'whole':
            return self.decode(inputs)
        if mode != 'slide':
            raise ConfigError(f"test_cfg.mode is '{mode}': give 'whole' or 'slide'")
        return self.slide_inference(inputs)

    def inference(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """:meth:`scores` at the input's size (N, K, H, W); mmseg's name and contract."""
        return resize_bilinear(
            self.scores(inputs), inputs.shape[2:], align_corners=self.align_corners
        )

    def whole_inference(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """:meth:`encode_decode`, whatever ``test_cfg.mode`` says; mmseg's name and contract."""
        return self.encode_decode(inputs)

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """Mean logits (N, K, H, W) over the windows of ``test_cfg``; mmseg's name and contract."""
        return slide(
            inputs,
            self.encode_decode,
            window=self.test_cfg['crop_size'],
            stride=self.test_cfg['stride'],
            batch=self.test_cfg.get('window_batch', 1),
        )

    def predict(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Label maps at the size of the original images.

        Args:
            inputs: (N, C, H, W) normalized images.
            data_samples: their samples; None predicts at the input size.

        Returns:
            The samples with ``pred_sem_seg`` (1, H, W) int64 and ``seg_logits`` (K, H, W), before
            softmax or sigmoid, which are computed when they are read.
        """
        return self.postprocess_result(
            self.scores(inputs), data_samples, input_size=inputs.shape[2:]
        )

    def postprocess_result(
        self,
        seg_logits: Tensor,
        data_samples: Sequence[SegDataSample] | None = None,
        *,
        input_size: Sequence[int] | None = None,
    ) -> list[SegDataSample]:
        """Put the logits of every sample on its image and take the classes.

        Args:
            seg_logits: (N, K, h, w), any resolution.
            data_samples: as in :meth:`predict`.
            input_size: (H, W) of the network's input; None says that the logits have it.
        """
        size = _size(input_size or seg_logits.shape[2:])
        if data_samples is None:
            samples = [SegDataSample() for _ in range(len(seg_logits))]
            geometries = [OutputGeometry(size)] * len(seg_logits)
        else:
            samples = list(data_samples)
            geometries = [geometry_of(sample.metainfo, size) for sample in samples]
        for logits, sample, geometry in zip(seg_logits.split(1), samples, geometries):
            full = partial(_full_size, logits, geometry, align_corners=self.align_corners)
            data = {
                'pred_sem_seg': PixelData(data=self.labels_of(logits, geometry)),
                'seg_logits': LazyPixelData(full),
            }
            if self.test_cfg.get('with_confidence', False):
                stride = sampling_stride(geometry.final_size)
                sampled = sampled_probabilities(
                    logits, geometry, align_corners=self.align_corners, stride=stride
                )
                data['sampled_probabilities'] = PixelData(data=sampled)
            sample.set_data(data)
        return samples

    def labels_of(self, logits: Tensor, geometry: OutputGeometry) -> Tensor:
        """Classes (1, H, W) int64 of one sample's logits (1, K, h, w)."""
        if logits.shape[1] > 1:
            return label_map(logits, geometry, align_corners=self.align_corners)
        full = resize_to_original(logits, geometry, align_corners=self.align_corners)
        return (full[:, 0].sigmoid() > self.decode_head.threshold).long()


def _full_size(logits: Tensor, geometry: OutputGeometry, *, align_corners: bool) -> Tensor:
    """Logits (1, K, h, w) of one sample on its image, (K, H, W)."""
    return resize_to_original(logits, geometry, align_corners=align_corners)[0]


@MODELS.register_module()
class OracleEncoderDecoder(EncoderDecoder):
    """:class:`EncoderDecoder` around a head with a ``GroundTruthMixin``.

    Predictions need samples with ``gt_sem_seg``, whole images and no test-time augmentation.

    Raises:
        ConfigError: the head cannot be shown labels, or ``test_cfg`` is not whole.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not hasattr(self.decode_head, 'shown') or self.test_cfg.get('mode') != 'whole':
            raise ConfigError(
                f'OracleEncoderDecoder got a {type(self.decode_head).__name__} and test_cfg.mode='
                f'{self.test_cfg.get("mode")!r}, but needs a head that is shown the labels, such '
                "as openseg_plugin.OracleOCRHead, and mode 'whole'."
            )

    def loss(self, inputs: Tensor, data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the heads (mmseg's contract)."""
        with self.decode_head.shown(self._labels_of(data_samples)):
            return super().loss(inputs, data_samples)

    def predict(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Label maps at the size of the original images; see :class:`EncoderDecoder`."""
        with self.decode_head.shown(self._labels_of(data_samples)):
            return super().predict(inputs, data_samples)

    def _labels_of(self, data_samples: Sequence[SegDataSample] | None) -> Tensor:
        """Labels (N, h, w) of the samples.

        Raises:
            ConfigError: a sample has none.
        """
        if not data_samples or any('gt_sem_seg' not in sample for sample in data_samples):
            raise ConfigError(
                'OracleEncoderDecoder got images without labels, but its head reads them: use a '
                'dataset with labels and openseg_plugin.LoadLabels in the pipeline.'
            )
        labels = [sample.gt_sem_seg.data.squeeze(0) for sample in data_samples]
        return torch.stack(labels).long()
