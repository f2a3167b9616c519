"""The HRNet-W48 baseline as the published openseg weights in in-place-ABN layout need it."""

_base_ = [
    '../_base_/preprocessors/openseg_bgr.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/fcn_hrnet48_iabn.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
tta_model = dict(merge='logits')  # openseg sums raw logits
