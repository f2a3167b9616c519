"""OCR on openseg's ResNet-101 at output stride 8 (``spatial_ocrnet``)."""

_base_ = './r101.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.OCRHead',
        key_channels=256,
        region=dict(in_index=2, in_channels=1024, channels=512, kernel_size=3, dropout_ratio=0.05),
        conv_bias='all',
        dropout_ratio=0.05,
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
