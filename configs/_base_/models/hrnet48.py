"""HRNet-W48 as in openseg.pytorch and what its heads share; the head's type is to be added."""

norm_cfg = dict(type='SyncBN', requires_grad=True)
width = 48  # channels of the finest branch
branch_channels = [width * 2**i for i in range(4)]
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(
        type='openseg_plugin.HRNet',
        width=width,
        align_corners=True,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://msra/hrnetv2_w48'),
    ),
    decode_head=dict(
        in_channels=branch_channels,
        align_corners=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
    ),
    test_cfg=dict(mode='whole'),
)
