"""r101_769_cityscapes_40k on ResNet-50: openseg's R_50_D_8 config; nothing is published for it."""

_base_ = './r101_769_cityscapes_40k.py'
model = dict(backbone=dict(depth=50))
