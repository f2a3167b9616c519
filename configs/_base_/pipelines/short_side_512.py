"""mmseg's steps for images of many sizes: short side 512, long side below 2048, crops of 512."""

_base_ = './loaders.py'

crop_size = (512, 512)  # height, width
class_weight = None
within = dict(type='Resize', scale=(2048, 512), keep_ratio=True)  # longer side, shorter side

train_pipeline = [
    *_base_.steps.load_train,
    within,
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 2.0), aspect_range=(1.0, 1.0)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='right_down'),
    _base_.steps.flip,
    dict(type='PhotoMetricDistortion'),
    _base_.steps.pack_train,
]
# the label is read after the image was resized, and keeps its size
load_resized = [dict(type='LoadImageFromFile'), within, dict(type='openseg_plugin.LoadLabels')]
test_pipeline = [*load_resized, _base_.steps.pack]
tta_pipeline = [
    *load_resized,
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75)),
    _base_.steps.pack_views,
]

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
