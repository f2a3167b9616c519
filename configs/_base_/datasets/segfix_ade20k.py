"""ade20k for SegFix: short side at least 512, crops of 512x512; boundaries and directions.

Targets are those of the stored picture and resized with it, as in openseg.pytorch.
"""

_base_ = './ade20k.py'

crop_size = (512, 512)  # height, width
segfix_targets = dict(type='openseg_plugin.SegFixTargets', num_directions=8, max_distance=5)
train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    segfix_targets,
    dict(type='openseg_plugin.ShortSideResize', length=crop_size[0]),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    dict(type='openseg_plugin.RandomBrightness', shift=10),
    dict(
        type='openseg_plugin.PackSegFixInputs',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_offset'),
    ),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    segfix_targets,
    dict(type='openseg_plugin.ShortSideResize', length=crop_size[0], with_labels=False),
    dict(type='openseg_plugin.PackSegFixInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(_delete_=True, type='openseg_plugin.SegFixMetric')
test_evaluator = val_evaluator
