"""Pictures and labels of your own in two classes: background and power lines.

``$DATA_ROOT/own/{train,val}/{image,label}`` as tools/convert_dataset.py writes them from labelme,
COCO, masks or lists. Batch 8 = 2 per GPU on 4 GPUs.
"""

dataset_type = 'openseg_plugin.OwnDataset'
data_root = '{{$DATA_ROOT:data}}/own'
# In the order of the label values; convert_dataset.py writes them to dataset.json.
metainfo = dict(classes=('background', 'power line'), palette=[[0, 0, 0], [220, 20, 60]])
num_classes = len(metainfo['classes'])
crop_size = (512, 1024)  # height, width
# Rare classes count for more; the power-line fork of HRNet-OCR trains with these two.
class_weight = [0.4, 1.0]

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
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0)),
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
        metainfo=metainfo,
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
        metainfo=metainfo,
        data_prefix=dict(img_path='val/image', seg_map_path='val/label'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='openseg_plugin.IoUMetric')
test_evaluator = val_evaluator
