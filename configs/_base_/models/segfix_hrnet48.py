"""SegFix on HRNet-W48 as in openseg.pytorch: boundary and direction from all maps, stride 4."""

norm_cfg = dict(type='SyncBN', requires_grad=True)
width = 48  # channels of the finest branch
branch_channels = [width * 2**i for i in range(4)]
model = dict(
    type='openseg_plugin.SegFix',
    backbone=dict(
        type='openseg_plugin.HRNet',
        width=width,
        align_corners=True,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://msra/hrnetv2_w48'),
    ),
    decode_head=dict(
        type='openseg_plugin.SegFixHead',
        in_channels=branch_channels,
        channels=256,
        num_directions=8,
        align_corners=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
    ),
    test_cfg=dict(mode='whole'),
)
