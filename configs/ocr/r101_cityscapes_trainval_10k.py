"""Stage 3 of 3 on ResNet-101: Cityscapes train and val again, 10000 iterations at lr 0.0001."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_trainval.py',
    '../_base_/models/ocr_r101_ohem.py',
    '../_base_/schedules/sgd_10k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
optim_wrapper = dict(optimizer=dict(lr=0.0001))
load_from = 'work_dirs/ocr/r101_cityscapes_coarse_100k/iter_100000.pth'
