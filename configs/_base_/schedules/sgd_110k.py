"""SGD with poly learning rate for 110000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=110000, val_interval=10000)
