"""HRNet-W48 without context as in PaddleSeg: its padding of stride-2 convolutions, 1x1 head.

Losses are averaged over all pixels, as PaddleSeg does.
"""

_base_ = './fcn_hrnet48_mmseg.py'
model = dict(backbone=dict(align_corners=False, same_padding=True))
