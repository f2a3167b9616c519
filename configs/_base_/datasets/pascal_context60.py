"""PASCAL-Context with background as one of 60 classes; the files of pascal_context.py."""

_base_ = './pascal_context.py'

dataset_type = 'openseg_plugin.PascalContext60Dataset'
num_classes = 60
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
