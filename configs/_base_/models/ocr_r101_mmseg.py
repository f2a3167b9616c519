"""OCR on mmseg's ResNet-101-d8 (stem 32, 32, 64), with mmseg's head."""

_base_ = './ocr_r101.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmseg.ResNetV1c',
        depth=101,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        norm_cfg=_base_.norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet101_v1c'),
    ),
    decode_head=dict(
        region=dict(channels=256, dropout_ratio=0.1),
        conv_bias='none',
        dropout_ratio=0.1,
        align_corners=False,
        loss_decode=dict(average='all'),
        loss_region=dict(average='all'),
    ),
)
