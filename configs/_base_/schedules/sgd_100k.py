"""SGD with poly learning rate for 100000 steps."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=100000, val_interval=10000)
