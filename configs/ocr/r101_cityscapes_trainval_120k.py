"""Stage 1 of 3 on ResNet-101 for the test server: Cityscapes train and val, 120000 iterations, OHEM."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_trainval.py',
    '../_base_/models/ocr_r101_ohem.py',
    '../_base_/schedules/sgd_120k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
