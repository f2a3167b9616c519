"""BiSeNet on ResNet-18, as in pytorch-cv; the three outputs count alike in training."""

norm_cfg = dict(type='SyncBN', requires_grad=True)
fcn_head = dict(
    type='openseg_plugin.FCNHead',
    kernel_size=3,
    dropout_ratio=0,
    align_corners=True,
    norm_cfg=norm_cfg,
    loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(
        type='openseg_plugin.BiSeNet',
        context=dict(
            type='mmseg.ResNet',
            depth=18,
            norm_cfg=norm_cfg,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://download.pytorch.org/models/resnet18-f37072fd.pth',
            ),
        ),
        context_channels=(256, 512),
        channels=128,
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(**fcn_head, in_channels=256, in_index=0, channels=64),
    auxiliary_head=[
        dict(**fcn_head, in_channels=128, in_index=1, channels=256),
        dict(**fcn_head, in_channels=128, in_index=2, channels=256),
    ],
    test_cfg=dict(mode='whole'),
)
