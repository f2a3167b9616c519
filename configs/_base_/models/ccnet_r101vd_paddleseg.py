"""CCNet on ResNet-101-vd as in PaddleSeg: leaky ReLU around the attention; OHEM, at most 0.7."""

_base_ = './isa_r101vd_paddleseg.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.CCHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        recurrence=2,
        context_act_cfg=dict(type='LeakyReLU', negative_slope=0.01),
        dropout_ratio=0.1,
        align_corners=False,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='openseg_plugin.OHEMCrossEntropyLoss', thresh=0.7, min_kept=10000, paddleseg=True),
    ),
    auxiliary_head=dict(channels=512, align_corners=False),
)
