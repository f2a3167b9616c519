"""PSPNet on ResNet-101-vd as in PaddleSeg."""

_base_ = './pspnet_r50vd_paddleseg.py'
model = dict(backbone=dict(depth=101))
