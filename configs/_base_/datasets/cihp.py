"""CIHP: 20 parts of persons in groups, train 28280, val 5000 images; transforms of LIP.

``$DATA_ROOT/cihp/{train,val}/{image,label,edge}``. openseg has no recipe for it.
"""

_base_ = './lip.py'

dataset_type = 'openseg_plugin.CIHPDataset'
data_root = '{{$DATA_ROOT:data}}/cihp'

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
