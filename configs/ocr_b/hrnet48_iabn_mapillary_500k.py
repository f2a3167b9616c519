"""OCR-B on Mapillary Vistas as the published openseg weights in in-place-ABN layout need it.

File hrnet_w48_ocr_b_mapillary_bs16_500000_1024x1024_lr0.01_1_latest.pth: 50.8 mIoU on its val.
Trains as hrnet48_mapillary_500k does.
"""

_base_ = [
    '../_base_/preprocessors/openseg_bgr.py',
    '../_base_/datasets/mapillary.py',
    '../_base_/models/ocr_b_hrnet48_ohem.py',
    '../_base_/schedules/sgd_500k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size, test_cfg=_base_.test_padding),
    decode_head=dict(
        act_cfg=dict(type='LeakyReLU', negative_slope=0.01),  # in-place ABN
        **_base_.ocr_head,
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
tta_model = dict(merge='logits', flip=False)  # openseg sums raw logits; no flipped views here
