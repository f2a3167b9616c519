"""pascal_context60.py for mmseg's own layout and class; see pascal_context_stock.py."""

_base_ = './pascal_context_stock.py'

dataset_type = 'PascalContextDataset'
num_classes = 60
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
