"""OCNet with context beside dilated convolutions, ResNet-101-v1s with JPU (pytorch-cv)."""

_base_ = './fcn_r101_pytorchcv.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.ASPOCHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        asp_channels=512,
        attention=dict(
            key_channels=256,
            value_channels=512,
            pool_stride=2,
            key_convs=1,
            is_key_shared=True,
        ),
        with_in_conv=False,
        with_context_conv=True,
        conv_bias=True,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
    ),
)
