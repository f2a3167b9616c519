"""Cityscapes fine with the augmentation of the HRNet-OCR code base; batch 12 = 3 per GPU on 4 GPUs.

Scales 0.5, 0.6, ... 2.1 without a change of aspect, bilinear, and no change of brightness.
"""

_base_ = './cityscapes.py'

train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(
        type='openseg_plugin.RandomResize',
        scale_range=(0.5, 2.1),
        scale_step=0.1,
        aspect_range=(1.0, 1.0),
        interpolation='bilinear',
    ),
    dict(type='openseg_plugin.RandomCrop', crop_size=_base_.crop_size, pad_mode='right_down'),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(type='openseg_plugin.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
]

train_dataloader = dict(batch_size=3, dataset=dict(pipeline=train_pipeline))
