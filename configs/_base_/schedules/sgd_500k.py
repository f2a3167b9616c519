"""SGD with poly learning rate for 500000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=500000, val_interval=20000)
