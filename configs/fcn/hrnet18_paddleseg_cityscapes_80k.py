"""HRNet-W18 without context as PaddleSeg builds it.

Loads its published fcn_hrnetw18_cityscapes_1024x512_80k/model.pdparams: 78.97 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/rgb_half.py',
    '../_base_/datasets/cityscapes_paddleseg.py',
    '../_base_/models/fcn_hrnet18_paddleseg.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
