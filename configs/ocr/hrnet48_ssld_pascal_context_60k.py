"""hrnet48_pascal_context_60k from PaddleClas (SSLD) weights: published 57.82 mIoU."""

_base_ = './hrnet48_pascal_context_60k.py'
model = dict(backbone=dict(init_cfg=dict(checkpoint='pretrained/HRNet_W48_C_ssld_pretrained.pth')))
