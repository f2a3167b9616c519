"""BiSeNetV1 on ResNet-18 as in mmseg: its backbone, one head, two auxiliary heads.

Losses are averaged over all pixels, as mmseg does by default.
"""

norm_cfg = dict(type='SyncBN', requires_grad=True)
fcn_head = dict(
    type='openseg_plugin.FCNHead',
    dropout_ratio=0.1,
    align_corners=False,
    norm_cfg=norm_cfg,
    loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all'),
)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(
        type='mmseg.BiSeNetV1',
        backbone_cfg=dict(type='mmseg.ResNet', depth=18, norm_cfg=norm_cfg),
        context_channels=(128, 256, 512),
        spatial_channels=(64, 64, 64, 128),
        out_channels=256,
        norm_cfg=norm_cfg,
        align_corners=False,
    ),
    decode_head=dict(**fcn_head, in_channels=256, in_index=0, channels=256),
    auxiliary_head=[dict(**fcn_head, in_channels=128, in_index=i, channels=64) for i in (1, 2)],
    test_cfg=dict(mode='whole'),
)
