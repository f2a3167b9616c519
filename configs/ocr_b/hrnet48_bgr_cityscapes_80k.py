"""hrnet48_cityscapes_80k with images in BGR order.

Published openseg weights in BatchNorm layout were trained with that order: evaluate them with this
file, train your own with hrnet48_cityscapes_80k.
"""

_base_ = './hrnet48_cityscapes_80k.py'

data_preprocessor = dict(bgr_to_rgb=False)
model = dict(data_preprocessor=data_preprocessor)
tta_model = dict(merge='logits')  # openseg sums raw logits
