"""DeepLabv3 on ResNet-101-vd as in PaddleSeg."""

_base_ = './deeplabv3_r50vd_paddleseg.py'
model = dict(backbone=dict(depth=101))
