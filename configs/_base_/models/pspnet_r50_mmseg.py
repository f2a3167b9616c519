"""PSPNet on ResNet-50-d8 as in mmseg."""

_base_ = './r50_mmseg.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.PSPHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        align_corners=False,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all'),
    )
)
