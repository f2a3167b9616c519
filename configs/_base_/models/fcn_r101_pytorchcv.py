"""FCN on ResNet-101-v1s with JPU, as in pytorch-cv; the other networks derive from it.

Train from ImageNet weights, resnet101_v1s.pth of pytorch-cv, with
--cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=FILE
"""

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(
        type='openseg_plugin.ResNet',
        depth=101,
        output_stride=32,
        ceil_pool=False,
        norm_cfg=norm_cfg,
    ),
    neck=dict(
        type='openseg_plugin.JPU',
        in_channels=(512, 1024, 2048),
        channels=512,
        coarse_first=True,
        align_corners=True,
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type='openseg_plugin.FCNHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        kernel_size=3,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
    ),
    auxiliary_head=dict(
        type='openseg_plugin.FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        kernel_size=3,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.5),
    ),
    test_cfg=dict(mode='whole'),
)
