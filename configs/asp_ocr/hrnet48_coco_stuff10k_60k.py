"""ASP-OCR on HRNet-W48, COCO-Stuff 10k, 60000 iterations.

Settings of the dataset in openseg; nothing is published for this network.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/coco_stuff10k.py',
    '../_base_/models/asp_ocr_hrnet48.py',
    '../_base_/schedules/sgd_60k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
