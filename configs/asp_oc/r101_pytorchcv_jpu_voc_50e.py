"""OCNet (ASP) with JPU, pytorch-cv, VOC; its authors give no metric."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/voc_pytorchcv.py',
    '../_base_/models/asp_oc_r101_pytorchcv.py',
    '../_base_/schedules/sgd_50e_pytorchcv.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), **_base_.heads)
tta_model = _base_.pytorchcv_multi_scale
