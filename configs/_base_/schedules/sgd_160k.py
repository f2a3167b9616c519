"""SGD with poly learning rate for 160000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=160000, val_interval=10000)
