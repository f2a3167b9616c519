"""Base-OC on ResNet-101 (stride 8), Cityscapes fine, 40000 iterations: published 79.49 mIoU."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/base_oc_r101.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), **_base_.heads)
