"""Cityscapes fine as PaddleSeg's MscaleOCRNet takes it: crops of the whole size; batch 8 x 1."""

_base_ = './cityscapes_paddleseg.py'

crop_size = (1024, 2048)  # height, width
changed_steps = {
    'openseg_plugin.RandomResize': dict(scale_step=None),
    'openseg_plugin.RandomCrop': dict(crop_size=crop_size),
    'openseg_plugin.ColorJitter': dict(brightness=0.25, contrast=0.25, saturation=0.25, hue=0.25),
}
train_pipeline = [dict(step, **changed_steps.get(step['type'], {})) for step in _base_.train_pipeline]
# the scales are in the model; what is left for --aug-test is the flipped view
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
