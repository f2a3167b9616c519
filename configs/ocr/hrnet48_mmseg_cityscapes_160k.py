"""OCR on HRNet-W48 as MMSegmentation builds it.

1x1 region head, no convolution bias, corners not aligned. Loads its published ocrnet_hr48 files:
81.35 mIoU after 160k iterations.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/ocr_hrnet48_mmseg.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
