"""ADE20K with RMI instead of OHEM, PaddleClas weights: published 46.59 mIoU."""

_base_ = './hrnet48_ssld_ohem_ade20k_150k.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, **_base_.openseg_rmi)))
