"""ASP-OCR on HRNet-W48 as in openseg.pytorch (``hrnet_w48_asp_ocr``)."""

_base_ = './ocr_hrnet48.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.ASPOCRHead',
        in_channels=_base_.branch_channels,
        channels=256,
        region=dict(channels=512, kernel_size=3),
        asp_channels=256,
        key_channels=128,
        dilations=(24, 48, 72),
        conv_bias=True,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
