"""SGD with poly learning rate for 80000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=80000, val_interval=8000)
