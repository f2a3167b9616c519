"""Drawn street scenes in the layout and with the classes of Cityscapes (openseg_plugin.synth).

``$DATA_ROOT/synth/{train,val}/{image,label}``; tools/quickstart.sh draws and converts them.
"""

_base_ = './cityscapes.py'

data_root = '{{$DATA_ROOT:data}}/synth'
crop_size = (128, 256)  # height, width; the scenes are 256x512
# 1 / log(1.05 + fraction of the pixels), so that lamps and riders count although they are small; 1
# for train and motorcycle, which are not drawn
class_weight = [
    *(0.5, 1.8, 0.7, 3.0, 3.0, 2.4, 3.1, 2.7, 1.0, 2.5),
    *(1.0, 2.7, 3.1, 1.0, 2.4, 2.2, 1.0, 1.0, 2.9),
]
head = dict(num_classes=_base_.num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_pipeline = [
    *_base_.steps.load_train,
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 1.0), aspect_range=(0.9, 1.1)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    *_base_.train_pipeline[5:],
]
tta_pipeline = [
    *_base_.steps.load,
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.75, 1.0, 1.25)),
    _base_.steps.pack_views,
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    # more than half of the crops around a pixel of a class that is drawn first: riders are rare
    sampler=dict(type='openseg_plugin.ClassUniformSampler', fraction=0.7, tile=64),
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
