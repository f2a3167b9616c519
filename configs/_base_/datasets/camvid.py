"""CamVid: 367 train, 101 val, 233 test images of 360x480, 11 classes (void is ignored).

``$DATA_ROOT/camvid/{images,labels}/{train,val,test}``. Batch 8 on one GPU.
"""

_base_ = '../pipelines/street_crops.py'

dataset_type = 'openseg_plugin.CamVidDataset'
data_root = '{{$DATA_ROOT:data}}/camvid'
num_classes = 11
crop_size = (360, 480)  # height, width
class_weight = None
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.scale,
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.flip,
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
tta_pipeline = [
    *_base_.steps.load,
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    _base_.steps.pack_views,
]

train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
    )
)
test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='labels/test'),
    )
)
