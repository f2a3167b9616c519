"""OCR on HRNet-W48, Cityscapes fine and as many auto-labelled images, 80000 iterations, batch 8.

Numbers of the training on fine labels alone; nothing is published for it. The published trainings
with automatic labels are those in configs/hmsa.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_autolabelled.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
