"""Cityscapes fine and, in every pass, as many of the 19998 auto-labelled images: 5950 samples.

``$DATA_ROOT/cityscapes_autolabelled/coarse/{image,label}`` beside ``$DATA_ROOT/cityscapes``.
"""

_base_ = './cityscapes.py'

coarse_root = '{{$DATA_ROOT:data}}/cityscapes_autolabelled'

train_dataloader = dict(
    sampler=dict(type='openseg_plugin.FineAndCoarseSampler', coarse_ratio=1.0),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type=_base_.dataset_type,
                data_root=root,
                data_prefix=dict(img_path=f'{split}/image', seg_map_path=f'{split}/label'),
                pipeline=_base_.train_pipeline,
            )
            for root, split in ((_base_.data_root, 'train'), (coarse_root, 'coarse'))
        ],
    ),
)
