"""hrnet48_lip_100k from PaddleClas (SSLD) weights: published 57.87 mIoU with flip images."""

_base_ = './hrnet48_lip_100k.py'
model = dict(backbone=dict(init_cfg=dict(checkpoint='pretrained/HRNet_W48_C_ssld_pretrained.pth')))
