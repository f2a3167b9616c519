"""OCR on HRNet-W48, Mapillary Vistas with Unlabeled as its 66th class, 500000 iterations of batch 16.

Losses, learning rate and iterations are those of OCR-B with 65 classes; nothing is published for 66.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/mapillary66.py',
    '../_base_/models/ocr_hrnet48_ohem.py',
    '../_base_/schedules/sgd_500k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size, test_cfg=_base_.test_padding),
    decode_head=_base_.ocr_head,
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
