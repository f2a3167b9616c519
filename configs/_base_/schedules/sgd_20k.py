"""SGD with poly learning rate for 20000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=20000, val_interval=2000)
