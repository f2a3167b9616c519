"""OCR on HRNet-W48 as the HRNet-OCR code base builds and trains it.

1x1 region head; 484 epochs of batch 12. Loads hrnet_ocr_cs_8162_torch11.pth: 81.6 mIoU on val,
single scale.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_hrnetocr.py',
    '../_base_/models/ocr_hrnet48_hrnetocr.py',
    '../_base_/schedules/sgd_484e.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
tta_model = dict(merge='exp')  # HRNet-OCR sums exp(logits)
