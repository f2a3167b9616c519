"""Mapillary Vistas as NVIDIA trains on it: long side 2177, crops of 1024x1024; batch 8 x 2."""

_base_ = './mapillary.py'

tta_options = dict(_delete_=True)
long_side = 2177  # pixels; of every image before anything else
train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='Resize', scale=(long_side, long_side), keep_ratio=True),
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 2.0), aspect_range=(1.0, 1.0)),
    dict(
        type='openseg_plugin.RandomCrop',
        crop_size=_base_.crop_size,
        pad_mode='symmetric',
        pad_value=0,
    ),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(
        type='openseg_plugin.ColorJitter',
        brightness=0.25,
        contrast=0.25,
        saturation=0.25,
        hue=0.25,
    ),
    dict(type='openseg_plugin.RandomBlur', prob=1.0, radius_range=(0.15, 1.3), exact=True),
    dict(type='openseg_plugin.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
]
# the label is read after the image was scaled, and keeps its size
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(long_side, long_side), keep_ratio=True),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='PackSegInputs'),
]
# the scales are in the model; what is left for --aug-test is the flipped view
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(long_side, long_side), keep_ratio=True),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]

train_dataloader = dict(
    batch_size=2,
    sampler=dict(
        _delete_=True,
        type='openseg_plugin.ClassUniformSampler',
        fraction=0.5,
        tile=1024,  # pixels
        cache='work_dirs/centroids/mapillary.npz',
    ),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
