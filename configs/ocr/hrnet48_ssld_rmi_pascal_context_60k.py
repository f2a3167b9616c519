"""hrnet48_ssld_pascal_context_60k with RMI: published 58.53, 58.72 mIoU."""

_base_ = './hrnet48_ssld_pascal_context_60k.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, **_base_.openseg_rmi)))
