"""COCO-Stuff 10k with RMI instead of OHEM, PaddleClas weights: published 43.95 mIoU."""

_base_ = './hrnet48_ssld_ohem_coco_stuff10k_60k.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, **_base_.openseg_rmi)))
