"""COCO-Stuff 10k: 171 classes, train 9000, val 1000 images; transforms of PASCAL-Context.

``$DATA_ROOT/coco_stuff10k/{train,val}/{image,label}``. Batch 16 = 4 per GPU on 4 GPUs.
"""

_base_ = './pascal_context.py'

dataset_type = 'openseg_plugin.COCOStuff10kDataset'
data_root = '{{$DATA_ROOT:data}}/coco_stuff10k'
num_classes = 171
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)
tta_options = dict(_delete_=True)

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
