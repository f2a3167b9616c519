"""Cityscapes fine with PaddleSeg's scales 0.5, 0.75, ... 2 and no class weights; batch 8."""

_base_ = './cityscapes.py'

class_weight = None
train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(
        type='openseg_plugin.RandomResize',
        scale_range=(0.5, 2.0),
        scale_step=0.25,
        aspect_range=(1.0, 1.0),
        interpolation='bilinear',
    ),
    dict(type='openseg_plugin.RandomCrop', crop_size=_base_.crop_size, pad_mode='right_down'),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=102,  # 0.4 of 255
        contrast_range=(0.6, 1.4),
        saturation_range=(0.6, 1.4),
        hue_delta=0,
    ),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_offset')),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
