"""OCR on ResNet-101-vd as PaddleSeg's OCRNet builds it.

For files of that network; PaddleSeg publishes none and no recipe: this is the one of its OCRNet on HRNet.
"""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/cityscapes_paddleseg.py',
    '../_base_/models/ocr_r101vd_paddleseg.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
