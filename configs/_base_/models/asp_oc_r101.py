"""ASP-OC on openseg's ResNet-101 at output stride 8 (``asp_ocnet``), with an auxiliary head."""

_base_ = './fcn_r101.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.ASPOCHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        asp_channels=256,
        attention=dict(key_channels=128, value_channels=128, pool_stride=2),
        dilations=(12, 24, 36),
        conv_bias=True,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
    ),
    auxiliary_head=dict(dropout_ratio=0.0),
)
