"""DANet on ResNet-50-vd as in PaddleSeg: its auxiliary head is a classifier of the last stage.

In training PaddleSeg scores both branches with the channel branch's classifier; here each has its own.
"""

_base_ = './isa_r50vd_paddleseg.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.DAHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        key_channels=64,
        dropout_ratio=0.1,
        align_corners='top_left',
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all'),
    ),
    auxiliary_head=dict(in_channels=2048, in_index=3, channels=2048, num_convs=0),
)
