"""ISA on openseg's ResNet-101 at output stride 8 (``isanet``), with an auxiliary head."""

_base_ = './r101_auxiliary.py'
model = dict(
    decode_head=dict(type='openseg_plugin.ISAHead', key_channels=256, windows=[(8, 8)], dropout_ratio=0.05),
    auxiliary_head=dict(conv_bias=False, dropout_ratio=0.05),
)
