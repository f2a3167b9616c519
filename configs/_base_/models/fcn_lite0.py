"""The plain head on EfficientNet-Lite0."""

_base_ = './lite0.py'
model = dict(decode_head=dict(type='openseg_plugin.FCNHead', kernel_size=3))
