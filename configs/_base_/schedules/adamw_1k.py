"""adamw_4k for 1000 iterations, at a higher rate: measured best for EfficientNet-Lite0 on CamVid."""

_base_ = './adamw_4k.py'

optim_wrapper = dict(optimizer=dict(lr=0.0008))
train_cfg = dict(max_iters=1000, val_interval=250)
