"""hrnet48_ohem_coco_stuff10k_60k from PaddleClas (SSLD) weights: published 42.50 mIoU."""

_base_ = './hrnet48_ohem_coco_stuff10k_60k.py'
model = dict(backbone=dict(init_cfg=dict(checkpoint='pretrained/HRNet_W48_C_ssld_pretrained.pth')))
