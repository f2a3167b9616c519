"""SGD with poly learning rate for 120000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=120000, val_interval=10000)
