"""hrnet48_ssld_cityscapes_40k on train and val together, 80000 iterations: for the test server."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_trainval.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    backbone=dict(init_cfg=dict(checkpoint='pretrained/HRNet_W48_C_ssld_pretrained.pth')),
    decode_head=_base_.ocr_head,
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
