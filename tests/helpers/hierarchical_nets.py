"""A small network of multiple scales on a stand-in backbone, and what it is fed with."""

import math

import small_models  # noqa: F401  registers the backbone
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from parity import paddle_resize
from random_norms import shuffle_norms

from openseg_plugin.registry import MODELS

CLASSES = 5
BN = dict(type='BN')
OCR = dict(
    type='openseg_plugin.OCRHead',
    in_channels=(4, 8),
    channels=8,
    key_channels=4,
    region=dict(channels=6),
    dropout_ratio=0.0,
    align_corners=False,
    num_classes=CLASSES,
    norm_cfg=BN,
)
FCN = dict(
    type='openseg_plugin.FCNHead',
    in_channels=4,
    in_index=0,
    channels=8,
    dropout_ratio=0.0,
    align_corners=False,
    num_classes=CLASSES,
    norm_cfg=BN,
)
SCALES = [(1.0,), (0.5, 1.0), (0.5, 1.0, 2.0), (0.25, 0.5, 1.0, 2.0), (0.5, 1.0, 1.5, 2.0, 2.5)]


def build(head=OCR, **options):
    model = dict(
        type='openseg_plugin.HierarchicalMultiScaleSegmentor',
        backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4, 8), strides=(4, 8)),
        decode_head=head,
        scale_attention=dict(
            type='openseg_plugin.ScaleAttentionHead', in_channels=8, channels=4, norm_cfg=BN
        ),
    )
    built = MODELS.build({**model, **options}).double().eval()
    return shuffle_norms(built)


def image(size=(44, 57), batch=2):
    return torch.randn(batch, 3, *size, dtype=torch.float64)


def resized(maps, size):
    return F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=False)


def single(model, inputs):
    """Logits and attention of one pass, at the size of its input."""
    head = model.decode_head
    feats = head.object_contextual_features(model.extract_feat(inputs))[1]
    maps = (head.cls_seg(feats), model.scale_attention(feats))
    return [resized(one, inputs.shape[2:]) for one in maps]


def recursion(model, inputs, scales, *, exact_ratio):
    """The rule of both sources, nothing saved and nothing left out."""
    result = None
    for scale in sorted(scales, reverse=True):
        if exact_ratio:
            scaled = paddle_resize.scaled(inputs, scale)
        else:
            scaled = resized(inputs, [math.floor(side * scale) for side in inputs.shape[2:]])
        logits, weight = single(model, scaled)
        if result is None:
            result = logits
        elif scale >= 1:
            result = weight * logits + (1 - weight) * resized(result, logits.shape[2:])
        else:
            size = result.shape[2:]
            result = resized(weight * logits, size) + (1 - resized(weight, size)) * result
    return result


def samples(size=(48, 64), batch=2):
    found = []
    for _ in range(batch):
        labels = torch.randint(0, CLASSES, (1, *size))
        labels[:, :5] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=size, pad_shape=size, ori_shape=size))
        found.append(sample)
    return found
