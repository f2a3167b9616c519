"""AdamW for 4000 iterations with warm-up, for a pretrained backbone under a new head."""

_base_ = './sgd.py'

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.0003, weight_decay=0.01),
    paramwise_cfg=dict(head_lr_mult=4.0),
)
param_scheduler = [
    dict(
        type='openseg_plugin.WarmupPolyLR',
        warmup_iters=100,
        warmup_factor=0.01,
        power=0.9,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=4000, val_interval=400)
