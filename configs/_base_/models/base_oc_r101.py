"""Base-OC on openseg's ResNet-101 at output stride 8 (``base_ocnet``), with an auxiliary head."""

_base_ = './fcn_r101.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.BaseOCHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        attention=dict(key_channels=256, value_channels=256),
        conv_bias=True,
        dropout_ratio=0.05,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
    ),
    auxiliary_head=dict(dropout_ratio=0.0),
)
