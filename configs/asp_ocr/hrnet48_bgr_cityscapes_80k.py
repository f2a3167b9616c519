"""hrnet48_cityscapes_80k with the image order and mean that published openseg weights need."""

_base_ = './hrnet48_cityscapes_80k.py'

data_preprocessor = dict(bgr_to_rgb=False)
model = dict(data_preprocessor=data_preprocessor)
tta_model = dict(merge='logits')  # openseg sums raw logits
