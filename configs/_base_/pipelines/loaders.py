"""What all datasets share: loaders of the converted layout, metric, steps of the pipelines.

``<data_root>/{train,val}/{image,label}`` as tools/convert_dataset.py writes it. A dataset adds
class, root, number of classes, crop size and pipelines, made of ``steps``.
"""

steps = dict(
    load_train=[
        dict(type='openseg_plugin.SeedSample'),
        dict(type='LoadImageFromFile'),
        dict(type='openseg_plugin.LoadLabels'),
    ],
    scale=dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 2.0), aspect_range=(0.9, 1.1)),
    flip=dict(type='openseg_plugin.RandomFlip', prob=0.5),
    brightness=dict(type='openseg_plugin.RandomBrightness', shift=10),
    pack_train=dict(type='openseg_plugin.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
    load=[dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')],
    pack=dict(type='PackSegInputs'),
    all_scales=dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    # where the scales are in the model, or where there are none: flipped views only
    one_scale=dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
    pack_views=dict(type='openseg_plugin.PackMultiScaleInputs'),
)

train_dataloader = dict(
    batch_size=2,  # per GPU
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='openseg_plugin.InfiniteSampler', shuffle=True),
    dataset=dict(data_prefix=dict(img_path='train/image', seg_map_path='train/label')),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path='val/image', seg_map_path='val/label'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='openseg_plugin.IoUMetric')
test_evaluator = val_evaluator
