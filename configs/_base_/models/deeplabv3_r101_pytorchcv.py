"""DeepLabv3 on ResNet-101-v1s with JPU, as in pytorch-cv."""

_base_ = './fcn_r101_pytorchcv.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.DeepLabV3Head',
        in_channels=2048,
        in_index=3,
        channels=256,
        dilations=(1, 12, 24, 36),
        projection_dropout=0.5,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
    ),
)
