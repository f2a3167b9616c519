"""PSPNet on ResNet-101-d8 as MMSegmentation builds it.

Loads its published pspnet_r101-d8_512x1024 files: 79.76 mIoU after 80k iterations.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/pspnet_r101_mmseg.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
