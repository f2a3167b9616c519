"""hrnet48_ssld_cityscapes_trainval_80k with online hard example mining."""

_base_ = './hrnet48_ssld_cityscapes_trainval_80k.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, **_base_.openseg_ohem, class_weight=_base_.class_weight)))
