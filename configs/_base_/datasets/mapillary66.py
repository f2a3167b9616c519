"""Mapillary Vistas with Unlabeled as its 66th class; the files of mapillary.py."""

_base_ = './mapillary.py'

dataset_type = 'openseg_plugin.Mapillary66Dataset'
num_classes = 66
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
