"""SegFix on HRNet-W18, CamVid (360x480) from scratch: 20000 iterations of 8 images."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/segfix_camvid.py',
    '../_base_/models/segfix_hrnet48.py',
    '../_base_/schedules/sgd_20k.py',
    '../_base_/default_runtime.py',
]

width = 18
model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    backbone=dict(width=width, init_cfg=None),
    decode_head=dict(in_channels=[width * 2**i for i in range(4)]),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
default_hooks = dict(checkpoint=dict(save_best='boundary_f', rule='greater'))
