"""OCR on HRNet-W48 as in openseg.pytorch: 3x3 region head, biased convolutions, dropout 0.05."""

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
        type='openseg_plugin.OCRHead',
        in_channels=branch_channels,
        channels=512,
        key_channels=256,
        region=dict(channels=sum(branch_channels), kernel_size=3),
        conv_bias='all',
        dropout_ratio=0.05,
        align_corners=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
    test_cfg=dict(mode='whole'),
)
