"""hrnet48_ohem_ade20k_150k from PaddleClas (SSLD) weights."""

_base_ = './hrnet48_ohem_ade20k_150k.py'
model = dict(backbone=dict(init_cfg=dict(checkpoint='pretrained/HRNet_W48_C_ssld_pretrained.pth')))
