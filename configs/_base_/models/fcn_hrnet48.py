"""HRNet-W48 without context as in openseg.pytorch (``hrnet_w48``): 3x3 head, dropout 0.1."""

_base_ = './hrnet48.py'
model = dict(
    decode_head=dict(
        type='openseg_plugin.FCNHead',
        channels=sum(_base_.branch_channels),
        kernel_size=3,
        conv_bias=True,
        dropout_ratio=0.1,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
    ),
)
