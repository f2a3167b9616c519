"""OCR on ResNet-101 (stride 8), PASCAL VOC with SBD, 30000 iterations, as PASCAL-Context is trained."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/voc.py',
    '../_base_/models/ocr_r101.py',
    '../_base_/schedules/sgd_30k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
