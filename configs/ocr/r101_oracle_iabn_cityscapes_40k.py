"""r101_oracle_bgr_cityscapes_40k for weights in in-place-ABN layout."""

_base_ = './r101_oracle_bgr_cityscapes_40k.py'

# leaky ReLU behind the norms of the heads
model = dict(decode_head=dict(act_cfg=dict(type='LeakyReLU', negative_slope=0.01)))
