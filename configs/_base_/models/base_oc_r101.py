"""Base-OC on openseg's ResNet-101 at output stride 8 (``base_ocnet``), with an auxiliary head."""

_base_ = './r101_auxiliary.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.BaseOCHead',
        attention=dict(key_channels=256, value_channels=256),
        conv_bias=True,
        dropout_ratio=0.05,
    ),
    auxiliary_head=dict(dropout_ratio=0.0),
)
