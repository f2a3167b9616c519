"""Mapillary Vistas with its own 65 classes: train 18000, val 2000 images of many sizes.

``$DATA_ROOT/mapillary/{train,val}/{image,label}``. Batch 16 = 4 per GPU on 4 GPUs.
"""

_base_ = '../pipelines/loaders.py'

dataset_type = 'openseg_plugin.MapillaryDataset'
data_root = '{{$DATA_ROOT:data}}/mapillary'
num_classes = 65
crop_size = (1024, 1024)  # height, width
class_weight = None
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
short_side = 1024  # pixels; of every image before anything else
# openseg's multi-scale test has no flipped views here
tta_options = dict(MultiScaleFlip=dict(flip=False))
test_padding = dict(size_divisor=8)  # right and bottom; leaves give it to their data_preprocessor

train_pipeline = [
    *_base_.steps.load_train,
    dict(type='openseg_plugin.ShortSideResize', length=short_side),
    _base_.steps.scale,
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.flip,
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
# The label keeps its size: predictions are brought back to it.
load_resized = [
    *_base_.steps.load,
    dict(type='openseg_plugin.ShortSideResize', length=short_side, with_labels=False),
]
test_pipeline = [*load_resized, _base_.steps.pack]
tta_pipeline = [*load_resized, _base_.steps.all_scales, _base_.steps.pack_views]

train_dataloader = dict(
    batch_size=4,
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
