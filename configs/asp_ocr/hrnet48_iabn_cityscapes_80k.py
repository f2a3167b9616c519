"""ASP-OCR on HRNet-W48 as published openseg weights in in-place-ABN layout need it."""

_base_ = './hrnet48_bgr_cityscapes_80k.py'

# leaky ReLU behind the norms of the heads
model = dict(decode_head=dict(act_cfg=dict(type='LeakyReLU', negative_slope=0.01)))
