"""hrnet48_ssld_cityscapes_trainval_80k with RMI on the final logits."""

_base_ = './hrnet48_ssld_cityscapes_trainval_80k.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, **_base_.openseg_rmi),
        loss_region=dict(class_weight=None),
    ),
)
