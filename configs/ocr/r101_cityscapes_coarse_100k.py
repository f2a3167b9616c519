"""Stage 2 of 3 on ResNet-101: coarse Cityscapes, 100000 iterations at lr 0.0001."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_coarse.py',
    '../_base_/models/ocr_r101_ohem.py',
    '../_base_/schedules/sgd_100k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
optim_wrapper = dict(optimizer=dict(lr=0.0001))
load_from = 'work_dirs/ocr/r101_cityscapes_trainval_120k/iter_120000.pth'
