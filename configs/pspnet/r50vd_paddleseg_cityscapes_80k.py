"""PSPNet on ResNet-50-vd as PaddleSeg builds it.

Loads its published pspnet_resnet50_os8_cityscapes_1024x512_80k/model.pdparams: 78.83 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/cityscapes_paddleseg.py',
    '../_base_/models/pspnet_r50vd_paddleseg.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), **_base_.heads)
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
