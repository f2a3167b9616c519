"""HRNet-W48 without context as the HRNet-OCR code base builds it.

Loads hrnet_cs_8090_torch11.pth: 80.9 mIoU on val, single scale.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_hrnetocr.py',
    '../_base_/models/fcn_hrnet48_hrnetocr.py',
    '../_base_/schedules/sgd_484e.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
tta_model = dict(merge='exp')  # HRNet-OCR sums exp(logits)
