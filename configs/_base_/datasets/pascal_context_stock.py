"""pascal_context.py for mmseg's own layout and class.

``convert_dataset.py pascal_context RAW $DATA_ROOT --layout mmseg`` writes ``$DATA_ROOT/VOCdevkit``.
"""

_base_ = './pascal_context.py'

dataset_type = 'PascalContextDataset59'
data_root = '{{$DATA_ROOT:data}}/VOCdevkit/VOC2010'
prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext')
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/SegmentationContext/train.txt',
        data_prefix=prefix,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/SegmentationContext/val.txt',
        data_prefix=prefix,
    )
)
test_dataloader = val_dataloader
