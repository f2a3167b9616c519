"""OCR on HRNet-W18 as PaddleSeg builds it.

Loads its published ocrnet_hrnetw18_cityscapes_1024x512_160k/model.pdparams: 80.67 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/cityscapes_paddleseg.py',
    '../_base_/models/ocr_hrnet18_paddleseg.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
)
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
