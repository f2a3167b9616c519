"""SGD with poly learning rate for 30000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=30000, val_interval=3000)
