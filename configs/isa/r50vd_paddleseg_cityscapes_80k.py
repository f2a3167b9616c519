"""ISA on ResNet-50-vd as PaddleSeg builds it.

Loads its published isanet_resnet50_os8_cityscapes_769x769_80k/model.pdparams: 79.03 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/cityscapes_paddleseg_769.py',
    '../_base_/models/isa_r50vd_paddleseg.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size, test_cfg=_base_.test_padding),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-5))
