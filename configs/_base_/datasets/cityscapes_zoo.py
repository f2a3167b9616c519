"""Cityscapes as the zoo pytorch-cv trains and tests: 768x768 crops, batch 8 per GPU on 8 GPUs.

Validation and test follow the two protocols of its tables: ``val (crop)`` while training (short
side at the crop size, centre crop), ``val`` (whole pictures at their own size) in the test. For
the other one in the test:

    --cfg-options test_dataloader.dataset.pipeline.2.size=768
"""

_base_ = './cityscapes.py'

base_size = 1024  # short side in training: 0.5 to 2 times this
crop_size = (768, 768)  # height, width
class_weight = None

train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(type='openseg_plugin.RandomShortSide', base_size=base_size, scale_range=(0.5, 2.0)),
    dict(type='Pad', size=crop_size[::-1], pad_val=dict(img=0, seg=255)),  # black, ignored
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size),
    dict(type='openseg_plugin.RandomBlur', prob=0.5, radius_range=(0.0, 1.0)),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
]
val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.ShortSideCenterCrop', size=crop_size[0]),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.ShortSideCenterCrop', size=None),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]

train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
