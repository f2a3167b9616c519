"""mmseg's ResNet-50-d8 (stem 32, 32, 64) and its auxiliary head; the decode head is to be added.

Losses are averaged over all pixels, as mmseg does by default.
"""

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=50,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'),
    ),
    auxiliary_head=dict(
        type='openseg_plugin.FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        dropout_ratio=0.1,
        align_corners=False,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all', loss_weight=0.4),
    ),
    test_cfg=dict(mode='whole'),
)
