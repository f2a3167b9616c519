"""PSPNet on ResNet-50-vd as in PaddleSeg: pools of 512 channels, the finest grid first."""

_base_ = './isa_r50vd_paddleseg.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.PSPHead',
        in_channels=2048,
        in_index=3,
        channels=1024,
        pool_scales=(6, 3, 2, 1),
        pool_channels=512,
        dropout_ratio=0.1,
        align_corners=False,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all'),
    ),
    auxiliary_head=dict(align_corners=False),
)
