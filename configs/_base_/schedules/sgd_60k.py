"""SGD with poly learning rate for 60000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=60000, val_interval=6000)
