"""SegFix on HRNet-W48, ADE20K: 150000 iterations of 16 crops.

Images of many sizes: the original compares the raw boundary logit with 0.5 here (softmax=False).
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/segfix_ade20k.py',
    '../_base_/models/segfix_hrnet48.py',
    '../_base_/schedules/sgd_150k_ade20k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), test_cfg=dict(softmax=False))
default_hooks = dict(checkpoint=dict(save_best='boundary_f', rule='greater'))
