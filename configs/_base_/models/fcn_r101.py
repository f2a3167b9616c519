"""FCN on openseg's ResNet-101 at output stride 8 (``fcnet``), with an auxiliary head."""

_base_ = './r101_auxiliary.py'
model = dict(
    decode_head=dict(type='openseg_plugin.FCNHead', kernel_size=3, conv_bias=True, dropout_ratio=0.1),
    auxiliary_head=dict(dropout_ratio=0.1),
)
