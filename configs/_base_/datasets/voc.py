"""PASCAL VOC 2012: 21 classes, train 10582 (with SBD), val 1449; transforms of PASCAL-Context.

``$DATA_ROOT/pascal_voc/{train,val}/{image,label}``. openseg has no recipe for it. Batch 16 = 4 per
GPU on 4 GPUs.
"""

_base_ = './pascal_context.py'

dataset_type = 'openseg_plugin.VOCDataset'
data_root = '{{$DATA_ROOT:data}}/pascal_voc'
num_classes = 21
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
tta_options = dict(_delete_=True)

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
