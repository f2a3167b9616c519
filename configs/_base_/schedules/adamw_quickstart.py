"""AdamW with warm-up for 640 iterations: what tools/quickstart.sh trains on drawn scenes."""

_base_ = './sgd.py'

iterations = 640
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.005, betas=(0.9, 0.98), weight_decay=0.01),
)
param_scheduler = [
    dict(
        type='openseg_plugin.WarmupPolyLR',
        warmup_iters=40,
        warmup_factor=0.05,
        power=0.9,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=iterations, val_interval=iterations // 2)
