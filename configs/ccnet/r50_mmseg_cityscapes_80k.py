"""CCNet on ResNet-50-d8 as MMSegmentation builds it.

Loads its published ccnet_r50-d8_512x1024 files: 79.03 mIoU after 80k iterations.
"""

_base_ = './r101_mmseg_cityscapes_80k.py'
model = dict(backbone=dict(depth=50, init_cfg=dict(checkpoint='open-mmlab://resnet50_v1c')))
