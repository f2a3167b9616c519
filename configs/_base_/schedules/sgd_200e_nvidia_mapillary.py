"""SGD for 200 epochs of Mapillary in batches of 16; the rate falls linearly, once per epoch."""

_base_ = ['sgd_175e_nvidia.py']

epochs = 200
epoch_steps = 18000 // 16
param_scheduler = [
    dict(type='openseg_plugin.EpochPolyLR', power=1.0, steps_per_epoch=epoch_steps, by_epoch=False)
]
train_cfg = dict(max_iters=epochs * epoch_steps, val_interval=5 * epoch_steps)
