"""Cityscapes fine with PaddleSeg's scales 0.5, 0.75, ... 2 and no class weights; batch 8."""

_base_ = './cityscapes.py'

class_weight = None
head = dict(num_classes=_base_.num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
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
    dict(
        type='openseg_plugin.RandomCrop',
        crop_size=_base_.crop_size,
        pad_mode='right_down',
        pad_value=127,  # 127.5, which 8 bits cannot hold
    ),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(
        type='openseg_plugin.ColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.0,  # the recipe's 0.4 is not said to be one of hue
    ),
    dict(type='openseg_plugin.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
