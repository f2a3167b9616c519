"""r101_cityscapes_40k with the image order and mean that published openseg weights need."""

_base_ = [
    '../_base_/preprocessors/openseg_bgr_r101.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/base_oc_r101.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), **_base_.heads)
tta_model = dict(merge='logits')  # openseg sums raw logits
