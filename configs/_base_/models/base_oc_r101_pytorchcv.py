"""OCNet with its base context on ResNet-101-v1s with JPU, as in pytorch-cv."""

_base_ = './fcn_r101_pytorchcv.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.BaseOCHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        attention=dict(key_channels=256, value_channels=256, key_convs=1, is_key_shared=True),
        conv_bias=True,
        dropout_ratio=0.05,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
    ),
)
