"""OCR on ResNet-101-vd as PaddleSeg's OCRNet builds it: regions from stage 3, a bias everywhere."""

_base_ = './ocr_r101_mmseg.py'
model = dict(
    backbone=dict(_delete_=True, type='openseg_plugin.ResNetVd', depth=101, output_stride=8, norm_cfg=_base_.norm_cfg),
    decode_head=dict(region=dict(channels=1024, kernel_size=1), conv_bias='all'),
)
