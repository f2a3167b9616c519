"""DANet on ResNet-101-d8 as in mmseg."""

_base_ = './danet_r50_mmseg.py'
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint='open-mmlab://resnet101_v1c')),
)
