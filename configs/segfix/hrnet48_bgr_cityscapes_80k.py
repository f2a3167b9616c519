"""hrnet48_cityscapes_80k with images in BGR order: for openseg weights in BatchNorm layout."""

_base_ = './hrnet48_cityscapes_80k.py'

data_preprocessor = dict(bgr_to_rgb=False)
model = dict(data_preprocessor=data_preprocessor)
