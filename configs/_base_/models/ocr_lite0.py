"""OCR on EfficientNet-Lite0, with a quarter of the usual channels."""

_base_ = './lite0.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.OCRHead',
        key_channels=64,
        region=dict(channels=128, kernel_size=1),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
