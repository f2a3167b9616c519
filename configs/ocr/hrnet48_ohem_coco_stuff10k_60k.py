"""OCR on HRNet-W48 with OHEM, COCO-Stuff 10k, 60000 iterations: published 39.61 mIoU."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/coco_stuff10k.py',
    '../_base_/models/ocr_hrnet48_ohem.py',
    '../_base_/schedules/sgd_60k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
