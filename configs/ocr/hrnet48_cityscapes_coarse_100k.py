"""OCR on HRNet-W48, coarse Cityscapes alone, 100000 iterations of batch 16 from the ImageNet weights.

Length and batch of the coarse stage of r101_cityscapes_coarse_100k.py, which starts from a trained
model; learning rate of the fine labels. Nothing is published for it.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_coarse.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_100k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
