"""SGD with poly learning rate of power 2 for 150000 iterations, 5000 of them warm-up from 1e-5."""

_base_ = ['sgd.py']

optim_wrapper = dict(optimizer=dict(lr=0.005, weight_decay=0.0005))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.002, begin=0, end=5000, by_epoch=False),
    dict(type='openseg_plugin.PolyLR', power=2.0, begin=5000, by_epoch=False),
]
train_cfg = dict(max_iters=150000, val_interval=5000)
