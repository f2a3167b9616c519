"""coco_stuff10k.py for mmseg's own layout and class: ``convert_dataset.py ... --layout mmseg``."""

_base_ = './coco_stuff10k.py'

dataset_type = 'COCOStuffDataset'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        reduce_zero_label=True,
        data_prefix=dict(img_path='images/train2014', seg_map_path='annotations/train2014'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        reduce_zero_label=True,
        data_prefix=dict(img_path='images/test2014', seg_map_path='annotations/test2014'),
    )
)
test_dataloader = val_dataloader
