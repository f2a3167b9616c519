"""Cityscapes fine as cityscapes_paddleseg, with PaddleSeg's crops of 769x769."""

_base_ = './cityscapes_paddleseg.py'

crop_size = (769, 769)  # height, width
test_padding = dict(size=(1025, 2049))  # height, width; images are filled up to it
train_pipeline = [
    dict(step, crop_size=crop_size) if step['type'].endswith('RandomCrop') else step for step in _base_.train_pipeline
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
