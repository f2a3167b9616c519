"""OCR on any backbone of timm: ``model.backbone.model_name`` is all there is to add."""

_base_ = './timm.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.OCRHead',
        channels=512,
        key_channels=256,
        region=dict(channels=512, kernel_size=1),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
