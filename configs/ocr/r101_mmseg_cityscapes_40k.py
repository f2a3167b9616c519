"""OCR on ResNet-101-d8 as MMSegmentation builds it.

Loads ocrnet_r101-d8 files: 80.09 mIoU at 40k iterations.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/ocr_r101_mmseg.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
