"""ISA on EfficientNet-Lite0."""

_base_ = './lite0.py'
model = dict(
    decode_head=dict(type='openseg_plugin.ISAHead', key_channels=64, windows=[(8, 8)]),
)
