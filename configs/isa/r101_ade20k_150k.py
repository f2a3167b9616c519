"""ISA on ResNet-101 (stride 8), windows of 8x16, ADE20K, 150000 iterations, batch 16."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/models/isa_r101.py',
    '../_base_/schedules/sgd_150k_ade20k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size, test_cfg=_base_.test_padding),
    decode_head=dict(**_base_.head, windows=[(8, 16)]),
    auxiliary_head=_base_.head,
)
