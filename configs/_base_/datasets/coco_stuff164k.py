"""COCO-Stuff 164k: 171 classes, train 118287, val 5000 images; transforms of the 10k release.

``$DATA_ROOT/coco_stuff164k/{train,val}/{image,label}``. openseg has no recipe for it.
"""

_base_ = './coco_stuff10k.py'

dataset_type = 'openseg_plugin.COCOStuff164kDataset'
data_root = '{{$DATA_ROOT:data}}/coco_stuff164k'

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
