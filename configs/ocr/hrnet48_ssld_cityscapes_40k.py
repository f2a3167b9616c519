"""OCR on HRNet-W48 from PaddleClas (SSLD) ImageNet weights: lr 0.02, batch 16, 40000 iterations.

Run it on 8 GPUs with 2 images each. Published with these numbers: 81.53 mIoU on Cityscapes val,
single scale.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    backbone=dict(init_cfg=dict(checkpoint='pretrained/HRNet_W48_C_ssld_pretrained.pth')),
    decode_head=_base_.ocr_head,
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
