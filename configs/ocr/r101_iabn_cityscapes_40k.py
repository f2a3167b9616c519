"""OCR on ResNet-101 as the published openseg weights in in-place-ABN layout need it.

File spatial_ocrnet_deepbase_resnet101_dilated8_1_latest.pth: 79.63 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/openseg_bgr_r101.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/ocr_r101_iabn.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
tta_model = dict(merge='logits')  # openseg sums raw logits
