"""OCR on HRNet-W18, CamVid (11 classes, 360x480) from scratch: 20000 iterations of 8 crops."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/ocr_hrnet18.py',
    '../_base_/schedules/sgd_20k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    backbone=dict(init_cfg=None),
    decode_head=_base_.ocr_head,
)
