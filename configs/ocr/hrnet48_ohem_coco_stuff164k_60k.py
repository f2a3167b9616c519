"""OCR on HRNet-W48 with OHEM, COCO-Stuff 164k, 60000 iterations, as COCO-Stuff 10k is trained.

Nothing is published for it; 60000 iterations of batch 16 are 8 passes.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/coco_stuff164k.py',
    '../_base_/models/ocr_hrnet48_ohem.py',
    '../_base_/schedules/sgd_60k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
