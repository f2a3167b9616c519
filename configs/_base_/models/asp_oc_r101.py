"""ASP-OC on openseg's ResNet-101 at output stride 8 (``asp_ocnet``), with an auxiliary head."""

_base_ = './r101_auxiliary.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.ASPOCHead',
        asp_channels=256,
        attention=dict(key_channels=128, value_channels=128, pool_stride=2),
        dilations=(12, 24, 36),
        conv_bias=True,
        dropout_ratio=0.1,
    ),
    auxiliary_head=dict(dropout_ratio=0.0),
)
