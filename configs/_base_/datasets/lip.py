"""LIP: 20 parts of single persons, train 30462, val 10000 pictures, all made 473x473.

``$DATA_ROOT/lip/{train,val}/{image,label,edge}``. Batch 32 = 8 per GPU on 4 GPUs. The published
figures average a picture and its mirror image: ``tools/test.py --aug-test --scales 1``.
"""

dataset_type = 'openseg_plugin.LIPDataset'
data_root = '{{$DATA_ROOT:data}}/lip'
num_classes = 20
crop_size = (473, 473)  # height, width; pictures are made as large, then scaled and cut
class_weight = None

train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(type='openseg_plugin.ResizeTo', size=crop_size),
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 1.5), aspect_range=(0.9, 1.1)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    dict(type='openseg_plugin.RandomBrightness', shift=10),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_offset')),
]
# The label keeps its size: predictions are brought back to it.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.ResizeTo', size=crop_size, with_labels=False),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.ResizeTo', size=crop_size, with_labels=False),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0, 1.25, 1.5)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]

train_dataloader = dict(
    batch_size=8,
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
