"""OCR on HRNet-W48, CIHP, 100000 iterations of batch 32, as LIP is trained; nothing is published."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cihp.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_100k_lip.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
