"""OCR-B on HRNet-W18, CamVid at half size (180x240) from scratch: what a CPU manages in an hour."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/camvid.py',
    '../_base_/models/ocr_b_hrnet48.py',
    '../_base_/schedules/sgd_20k.py',
    '../_base_/default_runtime.py',
]

width = 18
branch_channels = [width * 2**i for i in range(4)]
crop_size = (180, 240)  # height, width
model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=crop_size),
    backbone=dict(width=width, init_cfg=None),
    decode_head=dict(
        in_channels=branch_channels,
        **_base_.ocr_head,
    ),
)
own_sizes = {
    'openseg_plugin.RandomResize': dict(scale_range=(0.25, 1.0)),  # of the stored size
    'openseg_plugin.RandomCrop': dict(crop_size=crop_size),
    'openseg_plugin.MultiScaleViews': dict(ratios=(0.375, 0.5, 0.75)),
}
train_pipeline = [dict(step, **own_sizes.get(step['type'], {})) for step in _base_.train_pipeline]
tta_pipeline = [dict(step, **own_sizes.get(step['type'], {})) for step in _base_.tta_pipeline]
to_crop_size = dict(type='openseg_plugin.ShortSideResize', length=crop_size[0], with_labels=False)
test_pipeline = [*_base_.test_pipeline[:-1], to_crop_size, _base_.test_pipeline[-1]]
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
train_cfg = dict(max_iters=1000, val_interval=100)
default_hooks = dict(checkpoint=dict(interval=100))
