"""ASP-OCR on HRNet-W48, ADE20K, 150000 iterations, batch 16.

Settings of the dataset in openseg; nothing is published for this network.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/models/asp_ocr_hrnet48.py',
    '../_base_/schedules/sgd_150k_ade20k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size, test_cfg=_base_.test_padding),
    decode_head=_base_.ocr_head,
)
