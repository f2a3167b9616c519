"""segfix_cityscapes trained on Cityscapes and ADE20K half and half; validated on Cityscapes.

openseg.pytorch takes items of both sets in turn; here the smaller set is repeated, 7 x 2975 to
20210 images.
"""

_base_ = './segfix_cityscapes.py'

to_short_side = dict(type='openseg_plugin.ShortSideResize', length=_base_.crop_size[0])
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        # nothing here depends on the classes, which differ
        ignore_keys=[
            *('classes', 'palette', 'flip_pairs', 'void_ids', 'label_ids', 'label_map'),
            'reduce_zero_label',
        ],
        datasets=[
            dict(
                type='RepeatDataset',
                times=7,
                dataset=dict(
                    type=_base_.dataset_type,
                    data_root=_base_.data_root,
                    data_prefix=dict(img_path='train/image', seg_map_path='train/label'),
                    pipeline=_base_.train_pipeline,
                ),
            ),
            dict(
                type='openseg_plugin.ADE20KDataset',
                data_root='{{$DATA_ROOT:data}}/ade20k',
                data_prefix=dict(img_path='train/image', seg_map_path='train/label'),
                # behind the targets, before the crop
                pipeline=[
                    *_base_.train_pipeline[:5],
                    to_short_side,
                    *_base_.train_pipeline[5:],
                ],
            ),
        ],
    )
)
