"""Hierarchical multi-scale attention on EfficientNet-Lite0, CamVid: 1000 iterations, on a CPU."""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/camvid_crops.py',
    '../_base_/models/hmsa_lite0.py',
    '../_base_/schedules/adamw_1k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=_base_.ocr_head,
    loss_scale=dict(class_weight=_base_.class_weight),
)
default_hooks = dict(checkpoint=dict(interval=100))
