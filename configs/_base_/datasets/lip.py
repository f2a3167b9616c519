"""LIP: 20 parts of single persons, train 30462, val 10000 images, all made 473x473.

``$DATA_ROOT/lip/{train,val}/{image,label,edge}``. Batch 32 = 8 per GPU on 4 GPUs. The published
metrics average an image and its flip image: ``tools/test.py --aug-test --scales 1``.
"""

_base_ = '../pipelines/loaders.py'

dataset_type = 'openseg_plugin.LIPDataset'
data_root = '{{$DATA_ROOT:data}}/lip'
num_classes = 20
crop_size = (473, 473)  # height, width; images are made as large, then scaled and cut
class_weight = None
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.flip,
    dict(type='openseg_plugin.ResizeTo', size=crop_size),
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 1.5), aspect_range=(0.9, 1.1)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
# The label keeps its size: predictions are brought back to it.
load_resized = [
    *_base_.steps.load,
    dict(type='openseg_plugin.ResizeTo', size=crop_size, with_labels=False),
]
test_pipeline = [*load_resized, _base_.steps.pack]
tta_pipeline = [
    *load_resized,
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0, 1.25, 1.5)),
    _base_.steps.pack_views,
]

train_dataloader = dict(
    batch_size=8,
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
