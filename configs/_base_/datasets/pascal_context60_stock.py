"""pascal_context60.py for mmseg's own layout and class; see pascal_context_stock.py."""

_base_ = './pascal_context_stock.py'

dataset_type = 'PascalContextDataset'
num_classes = 60

train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
