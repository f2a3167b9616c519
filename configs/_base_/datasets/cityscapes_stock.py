"""cityscapes.py for mmseg's own layout and class: ``leftImg8bit/``, ``gtFine/*_labelTrainIds.png``.

``convert_dataset.py cityscapes RAW $DATA_ROOT/cityscapes --layout mmseg`` draws the labels.
"""

_base_ = './cityscapes.py'

dataset_type = 'CityscapesDataset'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
    )
)
test_dataloader = val_dataloader
