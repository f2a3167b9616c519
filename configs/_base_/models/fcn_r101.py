"""FCN on openseg's ResNet-101 at output stride 8 (``fcnet``), with an auxiliary head."""

_base_ = './ocr_r101.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.FCNHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        kernel_size=3,
        conv_bias=True,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type='openseg_plugin.FCNHead',
        in_channels=1024,
        in_index=2,
        channels=512,
        kernel_size=3,
        conv_bias=True,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
