"""Pipelines of openseg for street scenes: scaled, cut to 512x1024, flipped; tested whole."""

_base_ = './loaders.py'

crop_size = (512, 1024)  # height, width

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.scale,
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.flip,
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
test_pipeline = [*_base_.steps.load, _base_.steps.pack]
tta_pipeline = [*_base_.steps.load, _base_.steps.all_scales, _base_.steps.pack_views]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
