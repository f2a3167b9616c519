"""SGD with poly learning rate for 10000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=10000, val_interval=1000)
