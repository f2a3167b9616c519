"""ADE20K: 150 classes, train 20210, val 2000 images; transforms of PASCAL-Context.

``$DATA_ROOT/ade20k/{train,val}/{image,label}``. Batch 16 = 4 per GPU on 4 GPUs.
"""

_base_ = './pascal_context.py'

dataset_type = 'openseg_plugin.ADE20KDataset'
data_root = '{{$DATA_ROOT:data}}/ade20k'
num_classes = 150
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
tta_options = dict(_delete_=True)
test_padding = dict(size_divisor=8)  # right and bottom; leaves give it to their data_preprocessor

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
