"""OCR on HRNet-W48, Cityscapes fine: crop 512x1024, batch 8, lr 0.01, 80000 iterations.

Published with these numbers: 81.09 mIoU on val, single scale.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
