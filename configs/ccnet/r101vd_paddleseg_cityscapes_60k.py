"""CCNet on ResNet-101-vd as PaddleSeg builds it.

Loads its published ccnet_resnet101_os8_cityscapes_769x769_60k/model.pdparams: 80.95 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/cityscapes_paddleseg_769.py',
    '../_base_/models/ccnet_r101vd_paddleseg.py',
    '../_base_/schedules/sgd_60k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size, test_cfg=_base_.test_padding),
    **_base_.heads,
)
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
