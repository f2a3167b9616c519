"""COCO-Stuff 164k as mmseg trains and tests on it: short side 512; batch 16 = 4 x 4 GPUs."""

_base_ = '../pipelines/short_side_512.py'

dataset_type = 'openseg_plugin.COCOStuff164kDataset'
data_root = '{{$DATA_ROOT:data}}/coco_stuff164k'
num_classes = 171
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
