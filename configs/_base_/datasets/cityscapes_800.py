"""Cityscapes fine with crops of 800x800, no class weights, batch 16 = 4 per GPU on 4 GPUs."""

_base_ = './cityscapes.py'

crop_size = (800, 800)  # height, width
class_weight = None
head = dict(num_classes=_base_.num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    *_base_.train_pipeline[5:],
]

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
