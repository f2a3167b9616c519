"""BiSeNetV1 on ResNet-18 as MMSegmentation builds it.

Loads its published bisenetv1_r18-d32 files: 74.44 mIoU without ImageNet weights.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_1024.py',
    '../_base_/models/bisenet_r18_mmseg.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=[dict(one, num_classes=_base_.num_classes) for one in _base_.model.auxiliary_head],
)
optim_wrapper = dict(optimizer=dict(lr=0.025))
