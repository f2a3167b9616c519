"""OCR on HRNet-W48, PASCAL-Context with background as a class, 60000 iterations, as the 59 are trained.

No metric of one scale is published for 60 classes.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/pascal_context60.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_60k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
tta_model = _base_.tta_options.MultiScaleFlip
