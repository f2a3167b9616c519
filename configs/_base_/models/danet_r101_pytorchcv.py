"""DANet with one output on ResNet-101-v1s with JPU, as in pytorch-cv."""

_base_ = './fcn_r101_pytorchcv.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.DAHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        key_channels=64,
        normalize_over='queries',
        with_branch_outputs=False,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss'),
    ),
)
