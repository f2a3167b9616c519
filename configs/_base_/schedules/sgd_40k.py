"""SGD with poly learning rate for 40000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=40000, val_interval=4000)
