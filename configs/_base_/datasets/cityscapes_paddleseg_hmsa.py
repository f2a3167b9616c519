"""Cityscapes fine and as many auto-labelled images as PaddleSeg's CityscapesSOTA takes them."""

_base_ = './cityscapes_autolabelled.py'

crop_size = (1024, 2048)  # height, width
class_weight = None
head = dict(num_classes=_base_.num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(
        type='openseg_plugin.RandomResize',
        scale_range=(0.5, 2.0),
        aspect_range=(1.0, 1.0),
        interpolation='bilinear',
    ),
    dict(
        type='openseg_plugin.RandomCrop',
        crop_size=crop_size,
        pad_mode='right_down',
        pad_value=127,  # 127.5, which 8 bits cannot hold
    ),
    dict(type='openseg_plugin.RandomFlip', prob=0.5),
    dict(
        type='openseg_plugin.ColorJitter',
        brightness=0.25,
        contrast=0.25,
        saturation=0.25,
        hue=0.25,  # 63 of PIL's 256
    ),
    dict(type='openseg_plugin.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
]
# the scales are in the model; what is left for --aug-test is the flipped view
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]
train_dataloader = dict(
    batch_size=1,
    dataset=dict(datasets=[dict(part, pipeline=train_pipeline) for part in _base_.train_dataloader.dataset.datasets]),
)
