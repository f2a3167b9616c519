"""Cityscapes fine as cityscapes_paddleseg, with PaddleSeg's crops of 769x769."""

_base_ = './cityscapes_paddleseg.py'

crop_size = (769, 769)  # height, width
train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='right_down'),
    *_base_.train_pipeline[5:],
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
