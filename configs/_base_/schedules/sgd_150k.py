"""SGD with poly learning rate for 150000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=150000, val_interval=10000)
