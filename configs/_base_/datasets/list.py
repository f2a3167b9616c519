"""Images of your own by list files: an image and its label on every line of a ``.lst``.

``$DATA_ROOT/list/{train,val}.lst``; paths in them start at ``$DATA_ROOT/list``. Batch 8 = 2 per GPU
on 4 GPUs. Give classes, palette and num_classes in your config.
"""

_base_ = './custom.py'

dataset_type = 'openseg_plugin.ListDataset'
data_root = '{{$DATA_ROOT:data}}/list'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        ann_file='train.lst',
        metainfo=_base_.metainfo,
        pipeline=_base_.train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        ann_file='val.lst',
        metainfo=_base_.metainfo,
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
