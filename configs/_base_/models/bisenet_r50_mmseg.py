"""BiSeNetV1 on ResNet-50 as in mmseg."""

_base_ = './bisenet_r18_mmseg.py'
fcn_head = _base_.fcn_head
model = dict(
    backbone=dict(
        backbone_cfg=dict(depth=50),
        context_channels=(512, 1024, 2048),
        spatial_channels=(256, 256, 256, 512),
        out_channels=1024,
    ),
    decode_head=dict(in_channels=1024, channels=1024),
    auxiliary_head=[dict(**fcn_head, in_channels=512, in_index=i, channels=256) for i in (1, 2)],
)
