"""DeepLabV3+ on WideResNet-38 as in NVIDIA/semantic-segmentation: stride 8, skip at stride 2."""

norm_cfg = dict(type='SyncBN', requires_grad=True)
width = 64  # channels of the first convolution
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(type='openseg_plugin.WideResNet38', width=width, norm_cfg=norm_cfg),
    decode_head=dict(
        type='openseg_plugin.DeepLabV3PlusHead',
        in_channels=width * 64,
        channels=256,
        skip_in_channels=width * 2,
        skip_channels=48,
        dilations=(12, 24, 36),
        dropout_ratio=0.0,
        align_corners=False,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)
