"""Mapillary Vistas with Unlabeled as its 66th class; the files of mapillary.py."""

_base_ = './mapillary.py'

dataset_type = 'openseg_plugin.Mapillary66Dataset'
num_classes = 66

train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
