"""DeepLabv3 with JPU, pytorch-cv, Cityscapes: 73.44 mIoU on crops, 79.03 whole."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_pytorchcv.py',
    '../_base_/models/deeplabv3_r101_pytorchcv.py',
    '../_base_/schedules/sgd_120e_pytorchcv.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), **_base_.heads)
tta_model = _base_.pytorchcv_multi_scale
