"""hrnet48_ssld_lip_100k with RMI: published 58.21 mIoU with flip images."""

_base_ = './hrnet48_ssld_lip_100k.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, **_base_.openseg_rmi)))
