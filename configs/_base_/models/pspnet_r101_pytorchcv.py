"""PSPNet with pools of 1, 2, 3 and 4 cells on ResNet-101-v1s with JPU, as in pytorch-cv."""

_base_ = './fcn_r101_pytorchcv.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.PSPHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        pool_scales=(1, 2, 3, 4),
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
    ),
)
