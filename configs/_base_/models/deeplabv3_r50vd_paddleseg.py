"""DeepLabv3 on ResNet-50-vd as in PaddleSeg: the last stage dilated by 4, 8, 16; no auxiliary head."""

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(type='openseg_plugin.ResNetVd', depth=50, output_stride=8, multi_grid=(1, 2, 4), norm_cfg=norm_cfg),
    decode_head=dict(
        type='openseg_plugin.DeepLabV3Head',
        in_channels=2048,
        in_index=3,
        channels=256,
        dilations=(1, 12, 24, 36),
        bottleneck_kernel=1,
        dropout_ratio=0.1,
        align_corners=False,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all'),
    ),
    test_cfg=dict(mode='whole'),
)
