"""ASP-OCR on HRNet-W48, Cityscapes fine, 80000 iterations."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/asp_ocr_hrnet48.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
