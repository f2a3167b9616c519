"""hrnet48_cityscapes_80k on train and val together, 100000 iterations: for the test server."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_trainval.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_100k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
