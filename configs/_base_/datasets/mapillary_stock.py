"""mapillary66.py for mmseg's own layout and class: the v2.0 zip as it is, 66 classes."""

_base_ = './mapillary66.py'

dataset_type = 'MapillaryDataset_v1'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_prefix=dict(img_path='training/images', seg_map_path='training/v1.2/labels'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_prefix=dict(img_path='validation/images', seg_map_path='validation/v1.2/labels'),
    )
)
test_dataloader = val_dataloader
