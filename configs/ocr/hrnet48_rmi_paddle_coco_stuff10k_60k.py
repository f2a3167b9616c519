"""COCO-Stuff 10k with RMI instead of OHEM, PaddleClas weights: published 43.95 mIoU."""

_base_ = './hrnet48_paddle_ohem_coco_stuff10k_60k.py'
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
    ),
)
