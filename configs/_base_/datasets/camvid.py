"""CamVid: 367 train, 101 val, 233 test pictures of 360x480, 11 classes (void is ignored).

``$DATA_ROOT/camvid/{images,labels}/{train,val,test}``. Batch 8 on one GPU.
"""

dataset_type = 'openseg_plugin.CamVidDataset'
data_root = '{{$DATA_ROOT:data}}/camvid'
num_classes = 11
crop_size = (360, 480)  # height, width
class_weight = None

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
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
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
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
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
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='labels/test'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='openseg_plugin.IoUMetric')
test_evaluator = val_evaluator
