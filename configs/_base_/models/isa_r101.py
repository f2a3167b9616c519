"""ISA on openseg's ResNet-101 at output stride 8 (``isanet``), with an auxiliary head."""

_base_ = './fcn_r101.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.ISAHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        key_channels=256,
        windows=[(8, 8)],
        dropout_ratio=0.05,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
    ),
    auxiliary_head=dict(conv_bias=False, dropout_ratio=0.05),
)
