"""As cityscapes_nvidia, with automatic labels of train_extra for the classes that are rare.

``$DATA_ROOT/cityscapes_autolabelled/coarse/{image,label}``, converted with --min-probability 0.5,
--union-classes 14 15 16 (truck, bus, train) and --mask-out as published; only windows around these
classes are drawn from it.
"""

_base_ = './cityscapes_nvidia.py'

coarse_root = '{{$DATA_ROOT:data}}/cityscapes_autolabelled'

train_dataloader = dict(
    sampler=dict(
        boost_classes=(3, 4, 6, 7, 9, *range(11, 19)),
        cache='work_dirs/centroids/cityscapes_autolabelled.npz',
    ),
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
