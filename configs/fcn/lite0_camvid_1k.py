"""Plain head on EfficientNet-Lite0 from ImageNet, CamVid: 1000 iterations of 8 crops, on a CPU."""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/camvid_crops.py',
    '../_base_/models/fcn_lite0.py',
    '../_base_/schedules/adamw_1k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
default_hooks = dict(checkpoint=dict(interval=100))
