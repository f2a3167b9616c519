"""OCR on ResNet-101 (stride 8), Cityscapes fine in crops of 769x769, 40000 iterations.

openseg's R_101_D_8_TEST config has this crop; nothing is published for it.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_769.py',
    '../_base_/models/ocr_r101.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
