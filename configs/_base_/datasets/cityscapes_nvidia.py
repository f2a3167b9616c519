"""Cityscapes fine as NVIDIA trains on it: crops of the whole size, no class weights; batch 8 x 1.

Half of every pass is drawn by class. Scales 0.5 to 2 at the same aspect ratio, black padding on
both sides, colors changed by up to a quarter.
"""

_base_ = './cityscapes_class_uniform.py'

crop_size = (1024, 2048)  # height, width
class_weight = None
head = dict(num_classes=_base_.num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 2.0), aspect_range=(1.0, 1.0)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='symmetric', pad_value=0),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(
        type='openseg_plugin.ColorJitter',
        brightness=0.25,
        contrast=0.25,
        saturation=0.25,
        hue=0.25,
    ),
    dict(type='openseg_plugin.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
]
# the scales are in the model; what is left for --aug-test is the flipped view
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
