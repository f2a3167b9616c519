"""hrnet48_paddle_cityscapes_40k with RMI on the final logits: published 82.57, 82.64 mIoU."""

_base_ = './hrnet48_paddle_cityscapes_40k.py'
model = dict(
    decode_head=dict(
        # no OHEM and no class weights; openseg pools by the maximum over 3x3 pixels
        loss_decode=dict(
            _delete_=True,
            type='openseg_plugin.RMILoss',
            pool='max',
            pool_size=3,
            pool_stride=3,
            ridge=1e-3,
        ),
        loss_region=dict(class_weight=None),
    ),
)
