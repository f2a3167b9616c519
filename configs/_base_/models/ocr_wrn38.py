"""OCR on WideResNet-38: regions from the map at stride 4, pixels from the last one at stride 8."""

norm_cfg = dict(type='SyncBN', requires_grad=True)
width = 64  # channels of the first convolution
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(type='openseg_plugin.WideResNet38', width=width, norm_cfg=norm_cfg),
    decode_head=dict(
        type='openseg_plugin.OCRHead',
        in_channels=width * 64,
        in_index=2,
        channels=512,
        key_channels=256,
        region=dict(in_index=1, in_channels=width * 4, channels=512, kernel_size=3),
        conv_bias='all',
        dropout_ratio=0.05,
        align_corners=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.OHEMCrossEntropyLoss', thresh=0.7, min_kept=200000),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.2),
    ),
    test_cfg=dict(mode='whole'),
)
