"""ade20k.py for mmseg's own layout and class: ``$DATA_ROOT/ade/ADEChallengeData2016`` as it is."""

_base_ = './ade20k.py'

dataset_type = 'ADE20KDataset'
data_root = '{{$DATA_ROOT:data}}/ade/ADEChallengeData2016'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    )
)
test_dataloader = val_dataloader
