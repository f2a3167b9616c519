"""hrnet48_cityscapes_80k with images in BGR order.

Published openseg weights in BatchNorm layout were trained with that order: evaluate them with this
file, train your own with hrnet48_cityscapes_80k.
"""

_base_ = [
    '../_base_/models/fcn_hrnet48.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/preprocessors/openseg_bgr.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(
        num_classes=_base_.num_classes,
        loss_decode=dict(class_weight=_base_.class_weight),
    ),
)
tta_model = dict(merge='logits')  # openseg sums raw logits
