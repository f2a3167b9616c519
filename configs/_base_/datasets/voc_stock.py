"""voc.py for mmseg's own layout and class: VOC's masks for train, SBD's for the names of aug.txt.

``convert_dataset.py pascal_voc RAW $DATA_ROOT --layout mmseg`` writes ``$DATA_ROOT/VOCdevkit``.
"""

_base_ = './voc.py'

dataset_type = 'PascalVOCDataset'
data_root = '{{$DATA_ROOT:data}}/VOCdevkit/VOC2012'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type=dataset_type,
                data_root=data_root,
                ann_file=f'ImageSets/Segmentation/{names}.txt',
                data_prefix=dict(img_path='JPEGImages', seg_map_path=masks),
                pipeline=_base_.train_pipeline,
            )
            for names, masks in (('train', 'SegmentationClass'), ('aug', 'SegmentationClassAug'))
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    )
)
test_dataloader = val_dataloader
