"""openseg's ResNet-101 ("3x3-Res101") at output stride 8, and what its heads share.

Train from openseg's ImageNet weights (resnet101-imagenet.pth; resnet50-imagenet.pth for depth 50)
with
--cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=FILE
"""

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(
        type='openseg_plugin.ResNet',
        depth=101,
        output_stride=8,
        multi_grid=(1, 1, 1),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        in_channels=2048,
        in_index=3,
        channels=512,
        align_corners=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
    ),
    test_cfg=dict(mode='whole'),
)
