"""Stage 1 of the Mapillary chain: OCR-B on Mapillary Vistas, 65 classes, 500000 iterations of batch 16.

Published: 50.8 mIoU on Mapillary val. The published script says lr 0.02, the zoo's text and file
name 0.01; the script is what ran.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/mapillary.py',
    '../_base_/models/ocr_b_hrnet48_ohem.py',
    '../_base_/schedules/sgd_500k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size, test_cfg=_base_.test_padding),
    decode_head=_base_.ocr_head,
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
tta_model = _base_.tta_options.MultiScaleFlip
