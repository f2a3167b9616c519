"""PASCAL-Context, 59 classes: train 4998, val 5105 pictures, short side 520.

``$DATA_ROOT/pascal_context/{train,val}/{image,label}``. Batch 16 = 4 per GPU on 4 GPUs.
"""

dataset_type = 'openseg_plugin.PascalContextDataset'
data_root = '{{$DATA_ROOT:data}}/pascal_context'
num_classes = 59
crop_size = (520, 520)  # height, width
class_weight = None
short_side = 520  # pixels; of every picture before it is scaled or tested

train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(type='openseg_plugin.ShortSideResize', length=short_side),
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 2.0), aspect_range=(0.9, 1.1)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    dict(type='openseg_plugin.RandomBrightness', shift=10),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_offset')),
]
# The label keeps its size: predictions are brought back to it.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.ShortSideResize', length=short_side, with_labels=False),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.ShortSideResize', length=short_side, with_labels=False),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='openseg_plugin.InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='train/image', seg_map_path='train/label'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='val/image', seg_map_path='val/label'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='openseg_plugin.IoUMetric')
test_evaluator = val_evaluator
