"""OCR on ResNet-101 (stride 8) with OHEM, COCO-Stuff 10k, 60000 iterations."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/coco_stuff10k.py',
    '../_base_/models/ocr_r101_ohem.py',
    '../_base_/schedules/sgd_60k_context.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(
        num_classes=_base_.num_classes,
        loss_decode=dict(thresh=0.9, min_kept=50000, class_weight=_base_.class_weight),
        loss_region=dict(class_weight=_base_.class_weight),
    ),
)
