"""SegFix on HRNet2x-W20 as in openseg.pytorch: five maps from stride 2 on.

The authors start from hr_rnet_bt_w20_imagenet_pretrained.pth, which has no public address: give
your copy as ``model.backbone.init_cfg.checkpoint`` with ``init_cfg.type=Pretrained``.
"""

_base_ = './segfix_hrnet48.py'
width = 20  # channels of the finest branch
branch_channels = [width * 2**i for i in range(5)]
model = dict(
    backbone=dict(
        _delete_=True,  # not HRNet's weights; an init_cfg of None could not be changed later
        type='openseg_plugin.HRNet2x',
        width=width,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
    ),
    decode_head=dict(in_channels=branch_channels),
)
