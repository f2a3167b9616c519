"""HRNet-W18 without context as in PaddleSeg."""

_base_ = './fcn_hrnet48_paddleseg.py'
width = 18
branch_channels = [width * 2**i for i in range(4)]
model = dict(
    backbone=dict(width=width, init_cfg=dict(checkpoint='open-mmlab://msra/hrnetv2_w18')),
    decode_head=dict(in_channels=branch_channels, channels=sum(branch_channels)),
)
