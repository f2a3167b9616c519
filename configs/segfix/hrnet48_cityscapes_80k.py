"""SegFix on HRNet-W48, Cityscapes: 80000 iterations of 16 crops."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/segfix_cityscapes.py',
    '../_base_/models/segfix_hrnet48.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size))
optim_wrapper = dict(optimizer=dict(lr=0.04))
default_hooks = dict(checkpoint=dict(save_best='boundary_f', rule='greater'))
