"""Cityscapes fine: train 2975, val 500 pictures of 1024x2048, 19 classes.

``$DATA_ROOT/cityscapes/{train,val}/{image,label}`` as tools/convert_dataset.py writes them.
Batch 8 = 2 per GPU on 4 GPUs.
"""

dataset_type = 'openseg_plugin.CityscapesDataset'
data_root = '{{$DATA_ROOT:data}}/cityscapes'
num_classes = 19
crop_size = (512, 1024)  # height, width
# One per class in the order of the train ids.
class_weight = [
    *(0.8373, 0.9180, 0.8660, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023),
    *(0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507),
]

train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 2.0), aspect_range=(0.9, 1.1)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(type='openseg_plugin.RandomBrightness', shift=10),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_offset')),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]

train_dataloader = dict(
    batch_size=2,
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
