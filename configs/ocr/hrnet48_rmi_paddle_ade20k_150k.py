"""ADE20K with RMI instead of OHEM, PaddleClas weights: published 46.59 mIoU."""

_base_ = './hrnet48_paddle_ohem_ade20k_150k.py'
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
