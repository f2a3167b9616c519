"""hrnet48_ssld_cityscapes_40k with RMI on the final logits: published 82.57, 82.64 mIoU."""

_base_ = './hrnet48_ssld_cityscapes_40k.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, **_base_.openseg_rmi),
        loss_region=dict(class_weight=None),
    ),
)
