"""SegFix on a small HRNet-W18, CamVid from scratch: half an hour on a CPU core.

One exchange module per stage and one block per branch; crops of 192x256.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/segfix_camvid.py',
    '../_base_/models/segfix_hrnet48.py',
    '../_base_/schedules/sgd_10k.py',
    '../_base_/default_runtime.py',
]

width = 18
crop_size = (192, 256)  # height, width
model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=crop_size),
    backbone=dict(width=width, num_modules=(1, 1, 1), num_blocks=1, init_cfg=None),
    decode_head=dict(in_channels=[width * 2**i for i in range(4)], channels=64),
)
own_sizes = {'openseg_plugin.RandomCrop': dict(crop_size=crop_size)}
train_pipeline = [dict(step, **own_sizes.get(step['type'], {})) for step in _base_.train_pipeline]
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)
optim_wrapper = dict(optimizer=dict(lr=0.02))
train_cfg = dict(max_iters=1000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=100, save_best='boundary_f', rule='greater'), logger=dict(interval=20))
