"""HRNet-W48 without context as in mmseg: 1x1 head without bias before the norm, no dropout.

The loss is averaged over all pixels, as mmseg does by default.
"""

_base_ = './fcn_hrnet48_hrnetocr.py'
model = dict(decode_head=dict(conv_bias=False, loss_decode=dict(average='all')))
