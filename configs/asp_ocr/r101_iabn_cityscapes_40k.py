"""ASP-OCR on ResNet-101 as published openseg weights in in-place-ABN layout need it.

File spatial_asp_ocrnet_deepbase_resnet101_dilated8_1_latest.pth: 79.89 mIoU.
"""

_base_ = './r101_bgr_cityscapes_40k.py'

# leaky ReLU behind the norms of the heads
model = dict(decode_head=dict(act_cfg=dict(type='LeakyReLU', negative_slope=0.01)))
