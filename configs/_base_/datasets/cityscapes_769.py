"""Cityscapes fine with crops of 769x769, otherwise as cityscapes."""

_base_ = './cityscapes.py'

crop_size = (769, 769)  # height, width
train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    *_base_.train_pipeline[5:],
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
