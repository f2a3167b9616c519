"""ISA on ResNet-50-d8 as in mmseg."""

_base_ = './r50_mmseg.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.ISAHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        key_channels=256,
        windows=((8, 8),),
        value_bias=True,
        is_context_first=True,
        dropout_ratio=0.1,
        align_corners=False,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all'),
    )
)
