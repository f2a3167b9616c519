"""FCN on HRNet-W18 as MMSegmentation builds it.

Loads its published fcn_hr18 files: 78.8 mIoU.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/fcn_hrnet18_mmseg.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
