"""OCR on ResNet-101 (stride 8), PASCAL-Context (59 classes), 30000 iterations."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/pascal_context.py',
    '../_base_/models/ocr_r101.py',
    '../_base_/schedules/sgd_30k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
tta_model = _base_.tta_options.MultiScaleFlip
