"""ASP-OCR on HRNet-W48 as in openseg.pytorch (``hrnet_w48_asp_ocr``)."""

_base_ = './hrnet48.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.ASPOCRHead',
        channels=256,
        region=dict(channels=512, kernel_size=3),
        asp_channels=256,
        key_channels=128,
        dilations=(24, 48, 72),
        conv_bias=True,
        dropout_ratio=0.1,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
