"""PASCAL-Context with background as one of 60 classes; the files of pascal_context.py."""

_base_ = './pascal_context.py'

dataset_type = 'openseg_plugin.PascalContext60Dataset'
num_classes = 60

train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
