"""CE2P with OCR on ResNet-101 as published openseg weights in in-place-ABN layout need it."""

_base_ = './r101_ocr_bgr_lip_110k.py'

# leaky ReLU behind the norms of the heads
model = dict(decode_head=dict(act_cfg=dict(type='LeakyReLU', negative_slope=0.01)))
