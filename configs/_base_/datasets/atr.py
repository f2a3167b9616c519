"""ATR: its own 18 classes, 17706 images of single persons; transforms of LIP.

``$DATA_ROOT/atr/{train,val}/{image,label,edge}``, as ``--labels atr --val-fraction 0.0556`` writes.
openseg has no recipe for it. Without these options the labels are LIP's: read them as LIPDataset.
"""

_base_ = './lip.py'

dataset_type = 'openseg_plugin.ATRDataset'
data_root = '{{$DATA_ROOT:data}}/atr'
num_classes = 18
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
