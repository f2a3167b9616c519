"""DeepLabv3 on ResNet-50-vd as PaddleSeg builds it.

Loads its published deeplabv3_resnet50_os8_cityscapes_1024x512_80k/model.pdparams: 79.90 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/cityscapes_paddleseg.py',
    '../_base_/models/deeplabv3_r50vd_paddleseg.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
