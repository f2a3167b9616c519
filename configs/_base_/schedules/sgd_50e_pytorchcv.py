"""SGD as pytorch-cv trains on VOC: 50 epochs of 64 images per iteration, 8 GPUs."""

_base_ = ['sgd.py']

batch_size = 64  # of all GPUs together
base_lr = 1e-3  # for 8 images per iteration

# everything but the backbone learns ten times as fast
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * batch_size / 8, weight_decay=1e-4),
    paramwise_cfg=dict(head_lr_mult=10.0),
)
param_scheduler = [
    dict(
        type='openseg_plugin.WarmupPolyLR',
        warmup_iters=200,
        warmup_factor=0.01,
        power=0.9,
        by_epoch=False,
    )
]
train_cfg = dict(max_epochs=50, val_interval=5)
