"""segfix_hrnet48 for weights trained with in-place ABN: leaky ReLU in the head."""

_base_ = './segfix_hrnet48.py'
model = dict(decode_head=dict(act_cfg=dict(type='LeakyReLU', negative_slope=0.01)))
