"""coco_stuff164k.py for mmseg's own layout and class: ``convert_dataset.py ... --layout mmseg``."""

_base_ = './coco_stuff164k.py'

dataset_type = 'COCOStuffDataset'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'),
    )
)
test_dataloader = val_dataloader
