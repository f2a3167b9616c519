"""PASCAL VOC 2012 as mmseg trains and tests on it: short side 512; batch 16 = 4 x 4 GPUs."""

_base_ = '../pipelines/short_side_512.py'

dataset_type = 'openseg_plugin.VOCDataset'
data_root = '{{$DATA_ROOT:data}}/pascal_voc'
num_classes = 21

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
