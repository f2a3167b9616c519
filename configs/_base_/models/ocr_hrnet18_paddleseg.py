"""OCR on HRNet-W18 as in PaddleSeg."""

_base_ = './ocr_hrnet48_paddleseg.py'
width = 18
branch_channels = [width * 2**i for i in range(4)]
model = dict(
    backbone=dict(width=width, init_cfg=dict(checkpoint='open-mmlab://msra/hrnetv2_w18')),
    decode_head=dict(in_channels=branch_channels, region=dict(channels=sum(branch_channels))),
)
