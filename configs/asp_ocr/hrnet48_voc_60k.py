"""ASP-OCR on HRNet-W48, PASCAL VOC with SBD, 60000 iterations, as PASCAL-Context is trained.

openseg has no recipe and no metric for it.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/voc.py',
    '../_base_/models/asp_ocr_hrnet48.py',
    '../_base_/schedules/sgd_60k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
