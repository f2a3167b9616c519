"""Hierarchical multi-scale attention on HRNet-W18, CamVid from scratch: 20000 iterations of 8 crops."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/hmsa_hrnet18.py',
    '../_base_/schedules/sgd_20k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
)
