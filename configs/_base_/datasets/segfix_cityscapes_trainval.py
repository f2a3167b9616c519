"""segfix_cityscapes, trained on train + val (3475 images); validation reads val all the same."""

_base_ = './segfix_cityscapes.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type=_base_.dataset_type,
                data_root=_base_.data_root,
                data_prefix=dict(img_path=f'{split}/image', seg_map_path=f'{split}/label'),
                pipeline=_base_.train_pipeline,
            )
            for split in ('train', 'val')
        ],
    )
)
