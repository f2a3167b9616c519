"""r101_ohem_ade20k_150k on ResNet-50 (resnet50-imagenet.pth); nothing is published for it."""

_base_ = './r101_ohem_ade20k_150k.py'
model = dict(backbone=dict(depth=50))
