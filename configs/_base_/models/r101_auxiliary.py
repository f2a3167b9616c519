"""r101 with an auxiliary head on the map of 1024 channels."""

_base_ = './r101.py'
model = dict(
    auxiliary_head=dict(
        type='openseg_plugin.FCNHead',
        in_channels=1024,
        in_index=2,
        channels=512,
        kernel_size=3,
        conv_bias=True,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
