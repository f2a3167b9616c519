"""r101_cityscapes_40k on ResNet-50 (resnet50-imagenet.pth); nothing is published for it."""

_base_ = './r101_cityscapes_40k.py'
model = dict(backbone=dict(depth=50))
